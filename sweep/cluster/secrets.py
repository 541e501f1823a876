"""What looks like a secret in a cluster file, which is committed, copied to every node, and shown.

Three signs: a value of a known shape, a name that is a secret's with a value written out beside it, and a command that is given
one. A reference ($NAME, $(command), a file's path) is no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sweep.cluster.files import Document, Place
from sweep.cluster.finding import Found
from sweep.plan.credentials import SHAPES

MEND = "take it out and make it anew: a file like this is shared"
_PREFIXES = {
    "an API key (sk-)": r"\bsk-[A-Za-z0-9_-]{12,}|\b[sr]k_live_\w{12,}",
    "a Slack token": r"\bxox[a-z]-[A-Za-z0-9-]{8,}",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "a Google key": r"\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{8,}",
    "a GitHub token": r"\bgh[a-z]_[A-Za-z0-9]{16,}",
    "a GitLab, npm, PyPI or Docker token": r"\bglpat-[\w-]{12,}|\bnpm_\w{20,}|\bpypi-[\w-]{20,}|\bdckr_[a-z]{3}_[\w-]{16,}",
    "a W&B key": r"\bwandb_v\d_\w{16,}",
    "an Azure key": r"(?i)\b(account|sharedaccess)key=[\w+/=]{16,}|[?&]sig=[\w%+/=]{16,}",
    "a token in an address": r"\bhttps?://[^/?#\s@:$]{16,}@",
}
# Of a variable (WANDB_API_KEY, AZURE_CLIENT_SECRET) and of a setting (redis-password, client_secret, connectionString).
_NAME = re.compile(
    r"(?i)^(?!.*public)[\w.-]*("
    r"(^|[_.-])((require)?pass(word|wd|phrase)?|pwd|pat|secret|token|credentials?|sas)|api[_-]?key|[_.-]key|access[_-]?key|account[_-]?key|"
    r"secret[_-]?key|private[_-]?key|client[_-]?secret|access[_-]?token|auth[_-]?token|connection[_-]?string|\w(password|PASSWORD)|"
    r"\w(Secret|Token|Password)"
    r")\d*$"
)
_NOT_OF_NAMES = ("key_pair", "tokenizer")
_VALUE = r"""("[^"\n]*"|'[^'\n]*'|\$\([^)\n]*\)|`[^`\n]*`|[^\s'";|&)]+)"""
_ASSIGNED = re.compile(rf"""(?<![\w$.{{-])([A-Za-z][\w.-]*)["']?\s?[:=]\s?{_VALUE}""")
_OPTION = re.compile(rf"(?i)--([a-z][\w-]*)[=\s]+{_VALUE}")
_COMMANDS = {
    "wandb login": rf"\bwandb\s+login\s+(?:--?(?!key\b)[\w-]+(?:=\S+)?\s+)*(?:--key[=\s]+)?(?!-){_VALUE}",
    "a login's password": (
        rf"\b(?:sshpass|(?:docker|podman|nerdctl|skopeo|oras|helm|az)\b[^;|&\n]*\blogin)\b[^;|&\n]*?\s-p\s*(?!-){_VALUE}"
    ),
    "an authorization header": rf"(?i)\bauthorization\W{{1,4}}(?:bearer|basic|token)\s+{_VALUE}",
    "a bearer token": r"\bBearer\s+([\w.~+/-]{12,}=*)",
    "a password of .netrc": rf"\blogin\s+\S+\s+password\s+{_VALUE}",
    "aws configure": rf"\baws\s+configure\s+set\s+(?:\S*(?:secret|token)\S*)\s+{_VALUE}",
    "an authtoken": rf"\bauthtoken\s+{_VALUE}",
    "a user's password": rf"\bcurl\b[^;|&\n]*\s(?:-u|--user)[=\s]*[^\s:]+:{_VALUE}",
}
_REFERENCE = re.compile(r"\$\([^)]*\)|`[^`]*`|\$\{\{[^}]*\}\}|\{\{[^}]*\}\}|\$\{[^}]*\}|\$\w+")


def secrets(document: Document) -> Found:
    """Each text that looks like a secret; the secret itself is not repeated."""
    for place, text in document.texts():
        for sign in _signs(text):
            yield place, f"{sign} stands in the file", MEND
    yield from _named(document.values, ())


def shapes(text: str) -> list[str]:
    """What kinds of secret a text has the shape of: all that is asked of a comment, where a name is only spoken of."""
    return [name for name, shape in (*SHAPES.items(), *_PREFIXES.items()) if re.search(shape, text)]


def _signs(text: str) -> Iterator[str]:
    yield from shapes(text)
    for name, value in _ASSIGNED.findall(text):
        if _secret_name(name) and _literal(value, name):
            yield f"{name}'s value"
    for name, value in _OPTION.findall(text):
        if _secret_name(f"-{name}") and _literal(value, name):
            yield f"--{name}'s value"
    for name, shape in _COMMANDS.items():
        if any(_literal(value, name) for value in re.findall(shape, text)):
            yield f"what is given to {name}" if name in ("wandb login", "aws configure") else name


def _named(values: Any, place: Place) -> Found:
    """Values whose key is a secret's name, and of variables: ``{name: WANDB_API_KEY, value: …}``."""
    if isinstance(values, list):
        for i, inner in enumerate(values):
            yield from _named(inner, (*place, i))
    if not isinstance(values, dict):
        return
    for key, inner in values.items():
        yield from _named(inner, (*place, key))
        value = inner.get("value") if isinstance(inner, dict) else inner  # KubeRay: redisPassword: {value: …}
        if _secret_name(str(key)) and not _refers(str(key), values) and _written_out(value, str(key)):
            yield (*place, key), f"{key}'s value stands in the file", MEND
    name = values.get("name")
    if isinstance(name, str) and _secret_name(name) and _written_out(values.get("value"), name):
        yield (*place, "name"), f"{name}'s value stands in the file", MEND


def _written_out(value: Any, name: str) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and _literal(str(value), name)


def _refers(key: str, beside: dict[Any, Any]) -> bool:
    """Whether a key, whatever it is called, holds the name of something and not a secret."""
    return key in ("imagePullSecret", "existingSecret") or (key == "secret" and "optional" in beside)


def _secret_name(name: str) -> bool:
    return bool(_NAME.match(name)) and not name.lower().startswith(_NOT_OF_NAMES)


def _literal(value: str, name: str) -> bool:
    """Whether a value is written out: not a reference, a file's path, a switch or a place to fill in."""
    bare = value.strip().strip("\"'")
    rest = _REFERENCE.sub("", bare).strip("\"' ,;")
    if (
        not rest
        or "$" in rest
        or re.fullmatch(r"(?i)true|false|yes|no|none|null|[01]|-?stdin|<[^>]*>?|replace\S*|\.\.\.|…", rest)
    ):
        return False
    password = re.search(r"(?i)pass|pwd", name)
    return bool(password) or not re.match(r"(~|\.{1,2})?/[\w.-]+(/|\.|$)", bare)
