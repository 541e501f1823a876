"""Shell commands in cluster files, read as a shell would split them: what starts Ray, with which options and variables.

Nothing is run or looked up: a word with a variable in it stays as it is written, and is then none of those known to be safe.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PASSES_ON = (
    "setsid",
    "nohup",
    "exec",
    "env",
    "time",
    "nice",
    "-f",
    "-n",
)  # these hand their environment to what they run


@dataclass(frozen=True)
class Start:
    """One ``ray start``: its options as words, and the variables that are known to reach it."""

    options: tuple[str, ...]
    variables: tuple[str, ...]  # NAME=value

    def values(self, name: str) -> list[str]:
        """Every value that an option is given, the last of which Ray takes."""
        following_values = []
        for word, following in zip(self.options, (*self.options[1:], ""), strict=True):
            if word == f"--{name}":
                following_values.append(following)
            elif word.startswith(f"--{name}="):
                following_values.append(word.partition("=")[2])
        return following_values

    @property
    def listens_on_itself_alone(self) -> bool:
        """Whether its dashboard, which takes code, is reached from its own machine and from nowhere else."""
        if set(self.values("include-dashboard")) in ({"false"}, {"False"}):
            return True
        hosts = self.values("dashboard-host")
        return bool(hosts) and set(hosts) <= set(LOOPBACK)


def commands(text: str) -> list[list[str]]:
    """The simple commands of a shell text, each as its words without their quotes. ValueError where a quote stays open."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words_of_each: list[list[str]] = [[]]
    comment = False
    for word in lexer:
        if set(word) <= set(";&|()<>\n"):
            comment &= "\n" not in word
            if re.search(r"[;|\n]|^\)*&&?\(*$", word):
                words_of_each.append([])
        elif comment or word.startswith("#"):
            comment = True
        else:
            words_of_each[-1].append(word)
    return [words for words in words_of_each if words]


def ray_starts(text: str, given: Sequence[str] = ()) -> Iterator[Start]:
    """Each ``ray start`` in a shell text, also in what it hands to another shell (``bash -c "…"``)."""
    exported = list(given)
    for words in commands(text):
        variables = list(exported)
        for i, word in enumerate(words):
            if mentions_ray_start(word):
                yield from ray_starts(word, variables)
            elif words[0] == "export" and _ASSIGNMENT.match(word):
                exported.append(word)
            elif _ASSIGNMENT.match(word):
                variables.append(word)
            elif word.rpartition("/")[2] == "ray" and words[i + 1 : i + 2] == ["start"]:
                yield Start(tuple(words[i + 2 :]), tuple(variables))
                break
            elif word not in _PASSES_ON and not word.isdigit() and word.rpartition("/")[2] not in ("bash", "sh", "-c"):
                variables = []  # such as sudo, which drops them


def container_runs(text: str) -> Iterator[list[str]]:
    """The words behind each ``docker run`` (and podman's) in a shell text."""
    for words in commands(text):
        for i, word in enumerate(words):
            if re.search(r"\s", word) and re.search(r"\b(docker|podman|nerdctl)\s", word):
                yield from container_runs(word)
            following = [w for w in words[i + 1 :] if w != "container"]
            if word.rpartition("/")[2] in ("docker", "podman", "nerdctl") and following[:1] in (["run"], ["create"]):
                yield following[1:]


def mentions_ray_start(text: str) -> bool:
    return bool(re.search(r"\bray\s+start\b", text))
