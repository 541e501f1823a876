"""A sweep on a cluster's head, from a laptop: sent, started detached, followed, stopped and fetched.

By Ray's own command runner and nothing else: SSH (into the head's container, where there is one) and rsync, as `ray exec` and
`ray rsync-up` do, so no port but SSH need be open and no service runs on the head. There, a run is a folder ``~/sweeps/RUN``:
the code that runs it, ``start.sh``, its output in ``log``, its process in ``pid``, when that began in ``began`` and, once it has
ended, its exit code in ``exit``. Its results are in ``--storage``, where the head finds them again after it was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from sweep.cluster import files
from sweep.cluster.check import refuse
from sweep.cluster.files import ClusterFile
from sweep.cluster.head import Head
from sweep.errors import BY_SIGNAL, UsageError, called, telling
from sweep.plan.members import FOLDER, given
from sweep.plan.paths import default_run_dir
from sweep.records import read_json

STORAGE = "/mnt/shared"  # on every node, by the shipped files
ROOT = "~/sweeps"
ARTIFACTS = "artifacts"  # in a run's folder, where it has a store of its own
_OWN = (
    "help",
    "cluster",
    "attach",
    "fetch",
    "stop",
    "storage",
    "run_dir",
    "artifacts",
    "workers",
    "address",
    "resume",
    "space",
    "members",
)
_CODE = ("sweep", "trainables", "search_spaces")

# One script a run, so that what was started can be read. `exit` is written last: without it, and without the process, the
# machine was lost. What it has open as 9 is the run's lock, as long as it runs. When it began tells it from another process that
# has its number later.
START = """\
#!/bin/sh
cd "$(dirname "$0")/code" || exit 1
trap : INT  # it is the sweep's; this script stays to write its exit code
cut -d' ' -f22 /proc/$$/stat > ../began 2> /dev/null
echo $$ > ../pid
RAY_AUTH_MODE=token PYTHONUNBUFFERED=1 {command} >> ../log 2>&1 < /dev/null 9>&-
echo $? > ../exit
"""


def add_arguments(p: argparse.ArgumentParser) -> None:
    """The options that send a sweep to a cluster, and find it again there."""
    there = p.add_argument_group("on a cluster, from a laptop (cluster/README.md)")
    there.add_argument(
        "--cluster", default="", metavar="FILE", help="run it on this cluster, which `ray up` has started"
    )
    there.add_argument(
        "--attach", default="", metavar="RUN", help="watch a sweep that runs there, and fetch its results"
    )
    there.add_argument("--fetch", default="", metavar="RUN", help="fetch its results, finished or not, to runs/RUN")
    there.add_argument("--stop", default="", metavar="RUN", help="end it; --resume RUN goes on with it")


def wanted(args: argparse.Namespace) -> bool:
    """Whether a command line is for a cluster; UsageError where only a part of it is."""
    for name in ("attach", "fetch", "stop"):
        if getattr(args, name) and not args.cluster:
            raise UsageError(f"--{name} {getattr(args, name)}: is for a run on a cluster; add --cluster FILE")
    return bool(args.cluster)


def run(args: argparse.Namespace, known: argparse.ArgumentParser) -> int:
    """What the flags beside ``--cluster`` ask for; returns the sweep's exit code.

    A sweep is begun by a file that passes its check. One that runs can be reached whatever was changed in the file since.
    """
    file = files.read(args.cluster)
    asked = [name for name in ("attach", "fetch", "stop") if getattr(args, name)]
    if len(asked) > 1 or (asked and (args.space or args.resume)):
        raise UsageError(f"--{asked[0]} {getattr(args, asked[0])}: stands alone beside --cluster")
    for name in ("space", "run_dir") if args.resume else ():
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} beside --resume: the run's own plan holds; leave it out, or start a new run")
    if args.address:
        raise UsageError(
            f"--address {args.address}: beside --cluster the sweep runs on that cluster's Ray; leave it out"
        )
    if not (asked or args.resume):
        refuse(file)
    head = Head(file)
    if args.attach:
        return follow(head, _name(args.attach), args)
    if args.fetch:
        return fetch(head, _name(args.fetch), args)
    if args.stop:
        name = _name(args.stop)
        with telling(_look(args, name)):
            head.ask(
                f"{{ {{ {_running(name)}; }} || {{ echo {name} does not run; false; }}; }} && "
                f"kill -INT -- -$(cat {ROOT}/{name}/pid)"
            )
        print(f"stopped {args.stop}; go on with: {_command(args, '--resume', args.stop)}")
        return 0
    return launch(head, args, known)


def launch(head: Head, args: argparse.Namespace, known: argparse.ArgumentParser) -> int:
    """Send the project and the plan, have the head check it, start it detached, and follow it."""
    if not (args.space or args.resume):
        raise UsageError("--space NAME is needed (or --resume, --attach, --fetch or --stop RUN)")
    usual = Path(default_run_dir("", args.space)).name if args.space else ""
    name = _name(args.resume or args.run_dir or usual)
    remote_command(args, known, name, head.file)  # what is wrong with it costs nothing here
    sent = f"{ROOT}/.sent-{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory() as staged:
        _stage(Path(staged), args)
        if args.resume:
            head.ask(f"! {{ {_running(name)}; }} || {{ echo --resume {name}: it runs, see --attach {name}; false; }}")
        else:
            with telling(f"nothing was begun; {ROOT}/{name} on the head may have been made for it"):
                name = head.ask(_claim(name, named=bool(args.run_dir))).split()[-1]
        command = remote_command(args, known, name, head.file)
        with _leaving_nothing(head, sent if args.resume else f"{ROOT}/{name} {sent}"):
            kept = head.ask(f"test ! -e {ROOT}/{name}/code || echo kept") if args.resume else ""
            if not kept.strip():
                _send(head, Path(staged), sent, name)
            checked = _checked(head, name, command)
            if checked or args.dry_run:
                head.ask(f"rm -rf {ROOT}/{name}" if not args.resume else "true")
                return checked
    with telling(_look(args, name)):
        try:
            head.ask(_start(name, START.format(command=shlex.join(command))))
        except UsageError as error:  # an answer that was lost, perhaps, to a command that was heard
            raise UsageError(f"{error}; {_look(args, name)}") from None
        print(f"started {name}; it goes on without this laptop. Again: {_command(args, '--attach', name)}", flush=True)
        return follow(head, name, args)


def _send(head: Head, staged: Path, sent: str, name: str) -> None:
    """Send what a run needs to its folder on the head, by way of a folder that was never sent to."""
    print(f"sending the project to {ROOT}/{name} on the head", flush=True)
    head.ask(f"mkdir -p {ROOT}/{name} {sent}")
    head.send(staged, sent)
    head.ask(_arrived(sent, name))


def _checked(head: Head, name: str, command: Sequence[str]) -> int:
    """The exit code of the head's own check of the plan, which it shows; a Ctrl-C's where that ended it there."""
    folder, check = f"{ROOT}/{name}", shlex.join([*command, "--dry-run"])
    head.show(f"cd {folder}/code && rm -f ../checked && RAY_AUTH_MODE=token {check}; echo $? > ../checked")
    return int(head.ask(f"cat {folder}/checked 2> /dev/null || echo {BY_SIGNAL + signal.SIGINT}"))


@contextlib.contextmanager
def _leaving_nothing(head: Head, parts: str) -> Iterator[None]:
    """Have what fails or is interrupted within leave nothing of a run that was not started: its name would be taken."""
    try:
        yield
    except (UsageError, KeyboardInterrupt) as error:
        try:
            head.ask(f"rm -rf {parts}")
        except (UsageError, KeyboardInterrupt):
            error.args = (f"{str(error) or 'nothing was begun'}; on the head is left, and may be removed: {parts}",)
        raise


def _running(name: str) -> str:
    """The shell's way to ask whether a run's process runs, and is no other that has its number since."""
    folder = f"{ROOT}/{name}"
    when = f'"$(cut -d\' \' -f22 /proc/$(cat {folder}/pid)/stat 2> /dev/null)" = "$(cat {folder}/began)"'
    return f"kill -0 $(cat {folder}/pid) 2> /dev/null && {{ test ! -e {folder}/began || test {when}; }}"


def _start(name: str, script: str) -> str:
    """The shell's way to start a run detached, unless somebody else just has: what an earlier start left goes under its lock."""
    taken = f"echo --resume {name}: it was started just now; false"
    return (
        f"cd {ROOT}/{name} && exec 9>> lock && {{ flock -n 9 || {{ {taken}; }}; }} && rm -f pid exit began && "
        f"printf %s {shlex.quote(script)} > start.sh && setsid -f sh start.sh > /dev/null 2>&1"
    )


def _arrived(sent: str, name: str) -> str:
    """The shell's way to put what was sent in its place in a run's folder.

    It is sent to a folder that was never sent to: a container is sent to by way of a folder of its machine, in which rsync leaves
    what was sent there for an earlier run of the name.
    """
    place = f"../{name}"
    return f'(cd {sent} && for part in *; do rm -rf "{place}/$part" && mv "$part" {place}/; done) && rmdir {sent}'


def _claim(name: str, named: bool) -> str:
    """The shell's way to a folder that this run alone has: whoever makes it has it. Prints the name; another if not `named`."""
    if named:
        why = f"--run-dir {name}: the cluster has a run of this name, or the beginnings of one in {ROOT}/{name}"
        return f"mkdir -p {ROOT}; mkdir {ROOT}/{name} && echo {name} || {{ echo {shlex.quote(why)}; false; }}"
    return (
        f"mkdir -p {ROOT}; n={name}; i=1; "
        f"until mkdir {ROOT}/$n; do i=$((i+1)); test $i -lt 100 || break; n={name}-$i; done; test $i -lt 100 && echo $n"
    )


def follow(head: Head, name: str, args: argparse.Namespace) -> int:
    """Show a run's output until it ends, then fetch its results; returns its exit code."""
    folder = f"{ROOT}/{name}"
    with telling(_look(args, name)):
        head.ask(f"test -e {folder}/start.sh || {{ echo no run {name} on this cluster; false; }}")
    again = f"the sweep goes on; watch it again: {_command(args, '--attach', name)}"
    try:
        head.show(
            f"cd {folder}; while test ! -e pid; do sleep .2; done; tail -n +1 -f --pid=$(cat pid) log; "
            f"while test ! -e exit && {{ {_running(name)}; }}; do sleep .2; done"
        )
        code = head.ask(f"cat {folder}/exit 2> /dev/null || {{ {_running(name)}; }} && echo running || echo lost")
    except KeyboardInterrupt:
        code = "running"
    except UsageError as error:
        raise UsageError(f"{error}; {again}") from None
    words = code.split()
    if words[0].isdigit():
        fetch(head, name, args)
        return int(words[0])
    if words[0] == "running":  # Ctrl-C here, or there: ssh carries it to what shows the output
        print(f"\n{again}", file=sys.stderr)
        return 130
    raise UsageError(f"{name}: its process was lost; go on with: {_command(args, '--resume', name)}")


def fetch(head: Head, name: str, args: argparse.Namespace) -> int:
    """Copy a run's results, finished or not, to ``runs/RUN`` here: all but the artifacts that it keeps in its folder.

    What an earlier fetch that was interrupted has brought is not brought again.
    """
    here, run, gathered = Path("runs") / name, run_folder(args, name), f"{ROOT}/.fetched/{name}"
    coming, again = here.with_name(f".{name}.fetching"), _command(args, "--fetch", name)
    with telling(f"go on with: {again}"):
        head.ask(f"test -d {run} || {{ echo {name} has no results, or not in this --storage; false; }}")
        listed = head.ask(_gather(run, gathered)).splitlines()
        head.fetch(gathered, coming)
    _remove_others(coming, {coming / line for line in listed})
    if here.is_dir() and any(here.iterdir()) and not _same_run(here, coming):
        shutil.rmtree(coming)
        raise UsageError(f"{here}: is of another run; rename it, then fetch {name} again: {again}")
    put_in_place(coming, here)
    print(f"fetched {here}; read it: {called('sweep.pareto')} {here}")
    store = f"{run}/{ARTIFACTS}"
    if (here / "plan.json").is_file() and read_json(here / "plan.json").get("artifacts") == store:
        bring = shlex.join(["ray", "rsync-down", args.cluster, f"{store}/", f"{here}/{ARTIFACTS}/"])
        print(f"its models stay on the head; bring them: {bring}, then name them: --artifacts {here}/{ARTIFACTS}")
    return 0


def _gather(run: str, gathered: str) -> str:
    """The shell's way to a copy, on the head, of a run's folder without the artifacts in it; prints all that is in the copy.

    By way of a container all would be copied else, gigabytes of models. Of a run that goes on files vanish meanwhile, of which
    rsync says 24.
    """
    copy = f"rsync -a --delete --exclude /{ARTIFACTS} {run}/ {gathered}/"
    listed = "find . -mindepth 1 -printf '%P\\n' | cat"  # to a terminal find would not print every name as it is
    return f"mkdir -p {gathered} && {{ {copy} || test $? -eq 24; }} && cd {gathered} && {listed}"


def _remove_others(folder: Path, these: Collection[Path]) -> None:
    """Remove what is in the folder beside these files and folders: an earlier fetch brought it, and the head has it no more."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path not in these:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def put_in_place(coming: Path, here: Path) -> None:
    """Have what was fetched take the place of what was fetched earlier, each file and folder as a whole.

    What the head has compacted meanwhile would lie beside its parts otherwise, and every row count twice. What the user keeps in
    the folder, an exported model say, stays.
    """
    here.mkdir(parents=True, exist_ok=True)
    for new in coming.iterdir():
        old = here / new.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        os.replace(new, old)
    coming.rmdir()


def _same_run(one: Path, other: Path) -> bool:
    """Whether two folders are of one run: by their plans, in which the store's place alone may change."""
    plans = []
    for folder in (one, other):
        values = read_json(folder / "plan.json") if (folder / "plan.json").is_file() else {}
        values = {name: value for name, value in values.items() if name not in ("plan", "artifacts")} | {
            "plan": {name: value for name, value in values.get("plan", {}).items() if name != "artifacts"}
        }
        plans.append(values)
    return plans[0] == plans[1]


def run_folder(args: argparse.Namespace, name: str) -> str:
    """Where the head keeps a run's results: in ``--storage``, or beside its code where that is an object store."""
    storage = args.storage or STORAGE
    return f"{ROOT}/{name}/run" if "://" in storage else f"{storage.rstrip('/')}/{name}"


def remote_command(args: argparse.Namespace, known: argparse.ArgumentParser, name: str, file: ClusterFile) -> list[str]:
    """The command line that the head runs: this one's, with the places that are the cluster's."""
    storage = args.storage or STORAGE
    if not ("://" in storage or storage.startswith("/")):
        raise UsageError(f"--storage {storage}: beside --cluster, an absolute folder of every node's, or a URI")
    folder = "../run" if "://" in storage else run_folder(args, name)
    if args.resume and args.members:
        raise UsageError("--members beside --resume: the run has its own copies; leave it out, or start a new run")
    if args.resume:  # with as many workers as it began with, and its store where it was, unless others are named
        anew = ["--workers", str(args.workers)] if args.workers else []
        anew += ["--artifacts", args.artifacts] if args.artifacts else []
        again = ["--resume", folder, "--address", "auto", *anew]
        return ["python", "-m", "sweep.launch", *again, *_given(args, known)]
    workers = args.workers or file.capacity(args.gpus_per_trial, args.gpu_type)
    if not workers:
        of_type = f" of type {args.gpu_type}" if args.gpu_type else ""
        raise UsageError(
            f"--workers N is needed: the cluster file names no nodes{of_type} that say how many trials they can take"
        )
    space = f"../{Path(args.space).name}" if args.space.endswith(".py") else args.space
    brought = ["--members", f"../{FOLDER}"] if given(args.members, args.space) else []
    # The head decides where the store is, as here: a run that removes what it does not keep gets one of its own.
    places = ["--run-dir", folder, "--storage", storage]
    places += ["--artifacts", args.artifacts] if args.artifacts else []
    where = ["--address", "auto", "--workers", str(workers)]
    return ["python", "-m", "sweep.launch", "--space", space, *brought, *places, *where, *_given(args, known)]


def _given(args: argparse.Namespace, known: argparse.ArgumentParser) -> list[str]:
    """The other options of a command line, as they were given."""
    words: list[str] = []
    for action in known._actions:
        value: Any = getattr(args, action.dest, None)
        if action.dest in (*_OWN, "dry_run") or action.dest not in args.typed:
            continue
        flag = action.option_strings[-1]
        if isinstance(action, argparse._StoreTrueAction):
            words += [flag] if value else []
        elif isinstance(action, argparse._AppendAction):
            words += [word for item in value for word in (flag, str(item))]
        else:
            words += [flag, *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return words


def _stage(folder: Path, args: argparse.Namespace) -> None:
    """What the head is sent: the packages that run here, and a question and members of the user's own."""
    project = Path(__file__).parents[2]
    for package in _CODE:
        shutil.copytree(project / package, folder / "code" / package, ignore=shutil.ignore_patterns("__pycache__"))
    if args.space and args.space.endswith(".py"):
        if not Path(args.space).is_file():
            raise UsageError(f"--space {args.space}: no such file")
        shutil.copy(args.space, folder)
    for file in given(args.members, args.space or ""):
        (folder / FOLDER).mkdir(exist_ok=True)
        (folder / FOLDER / file.name).write_bytes(file.data)


def _name(run: str) -> str:
    """A run's name on the cluster; it becomes a path there."""
    name = run.rstrip("/").removeprefix("runs/")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"{run}: beside --cluster a run has a plain name, of letters, digits, '.', '_' and '-'")
    return name


def _look(args: argparse.Namespace, name: str) -> str:
    return f"look: {_command(args, '--attach', name)}"


def _command(args: argparse.Namespace, *more: str) -> str:
    storage = ["--storage", args.storage] if args.storage else []
    return shlex.join([*called("sweep.launch").split(), "--cluster", args.cluster, *storage, *more])
