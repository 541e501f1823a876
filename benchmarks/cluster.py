"""A sweep on real hosts, two of which are lost: ``python -m benchmarks.cluster``. As root, for it makes its hosts itself.

A laptop, a head and three workers, each a network namespace with its own processes and `sshd`. The laptop runs `ray up` on the
shipped on-premises file, sends the sweep, is closed, and comes back; in mid-sweep one worker is cut off the network and one
killed. What is printed is the record in `benchmarks/cluster.md`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.hosts import Host, hosts
from sweep.records import rows

ROOT = Path(__file__).parents[1]
BIN = str(Path(sys.prefix) / "bin")
PIP = "cd ~/unlearning && ~/sweep-venv/bin/pip install -q -c constraints.txt ."
DEFAULT_SPACE = "--space dimum_robustness --trials 12 --baseline-trials 4 --base-steps 600 --samples-forgotten 64 \
--samples-per-retained 25 --confirm-seeds 2 --confirm-members 1 --confirm-neighbours 0 --seed 1"
TRIALS = 18  # the base model and the retrain control among them


@dataclass
class Cluster:
    """The laptop, the head and the workers; `file` is the laptop's cluster file, `shared` what lies at /mnt/shared."""

    laptop: Host
    head: Host
    workers: list[Host]
    file: Path
    shared: Path
    home: Path  # where the laptop's commands run

    def ray(self, *arguments: str, timeout: float = 300) -> str:
        """`ray` on the laptop, told of no login but the file's."""
        name, *rest = arguments
        return self.laptop.run("ray", name, *rest, env={"PATH": f"{BIN}:{os.environ['PATH']}"}, timeout=timeout)

    def sweep(self, *arguments: str) -> subprocess.Popen[str]:
        """`python -m sweep.launch --cluster FILE …` on the laptop, begun."""
        command = [sys.executable, "-u", "-m", "sweep.launch", "--cluster", str(self.file), *arguments]
        where = ["sh", "-c", f'cd {self.home} && exec "$@"', "sh", *command]
        env = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            self.laptop.command(*where, env=env),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def nodes(self) -> int:
        """Workers that Ray counts as alive: those with a CPU to offer."""
        script = (
            "import ray; ray.init('auto', logging_level='ERROR'); print('CPUs', ray.cluster_resources().get('CPU', 0))"
        )
        env = {"PATH": f"{BIN}:{os.environ['PATH']}", "RAY_AUTH_MODE": "token"}
        printed = self.head.run(sys.executable, "-c", script, env=env)
        return int(float(printed.split("CPUs")[1].split()[0]))


@contextmanager
def cluster(folder: Path, workers: int, patience_s: int = 60) -> Iterator[Cluster]:
    """Hosts with the shipped file's placeholders filled in, and `ray up` not yet run.

    `patience_s`: seconds after which a worker that cannot reach its head ends.
    """
    with hosts(folder, workers + 2) as (laptop, head, *others):
        text = (ROOT / "cluster" / "on_premises.yaml").read_text()
        filled = {
            "192.0.2.10 ": f"{head.address} ",
            "[192.0.2.11, 192.0.2.12, 192.0.2.13]": f"[{', '.join(w.address for w in others)}]",
            "ssh_user: sweep": "ssh_user: root",
            "~/.ssh/unlearning_sweep": str(folder / "key"),
            PIP: f"true || ({PIP})",  # it is installed: hosts share this Python
            "setsid -f ray start": f"RAY_gcs_rpc_server_reconnect_timeout_s={patience_s} setsid -f ray start --num-cpus=1",
        }
        for placeholder, value in filled.items():
            assert placeholder in text, placeholder
            text = text.replace(placeholder, value)
        file, home = folder / "cluster.yaml", folder / "laptop"
        file.write_text(text)
        home.mkdir(exist_ok=True)
        for host in (laptop, head, *others):
            host.run("ln", "-s", sys.prefix, "/root/sweep-venv")
        make = "import secrets; print(secrets.token_hex(32))"
        laptop.run(
            "sh", "-c", f"mkdir -m 700 ~/.ray-unlearning; {sys.executable} -c '{make}' > ~/.ray-unlearning/auth_token"
        )
        yield Cluster(laptop, head, others, file, folder / "shared", home)


def wait_for(what: Callable[[], Any], seconds: float, said: str) -> Any:
    """The first true answer; AssertionError where there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(1)
    raise AssertionError(f"not within {seconds:.0f} s: {said}")


def made_twice(run: Path) -> list[str]:
    made = Counter(row["key"] for row in rows(run, "stages") if not row["found"])
    return [key for key, n in made.items() if n > 1]


def states(run: Path) -> Counter[str]:
    """How many trials are in which state."""
    return Counter(row["state"] for row in rows(run, "trials"))


def amid(run: Path, host: Host) -> str:
    """A trial that a host is in the midst of, two of its stages made there; none: nothing."""
    running = [row["trial_id"] for row in rows(run, "trials") if row["state"] == "RUNNING"]
    made = Counter(row["trial_id"] for row in rows(run, "stages") if row["node"] == host.name)
    return next((trial for trial in running if made[trial] > 1), "")


def moved(run: Path) -> list[str]:
    """Trials whose stages were made on more than one host: how many by each, in the order of their hosts."""
    by_host: dict[str, Counter[str]] = {}
    for row in sorted(rows(run, "stages"), key=lambda row: row["finished_at"]):
        by_host.setdefault(f"{row['trial_id']} of replicate {row['replicate']}", Counter())[row["node"]] += 1
    return [f"{name}: {' + '.join(map(str, n.values()))} stages" for name, n in by_host.items() if len(n) > 1]


def refused(c: Cluster) -> bool:
    """Whether a driver with another token, on the head itself, is turned away."""
    script = "import ray; ray.init('auto', logging_level='ERROR')"
    env = {"PATH": f"{BIN}:{os.environ['PATH']}", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    try:
        c.head.run(sys.executable, "-c", script, env=env)
    except AssertionError as error:
        return "uthenticat" in str(error) or "token" in str(error)
    return False


def left(host: Host) -> list[str]:
    """What runs on a host beside its sshd: nothing, after `ray down`."""
    return [line for line in host.processes() if not line.startswith("sshd")]


def until(process: subprocess.Popen[str], words: str) -> list[str]:
    """The lines of a command's output up to the first with these words in it."""
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line.rstrip())
        if words in line:
            return lines
    raise AssertionError(f"{words!r} is missing in:\n" + "\n".join(lines))


def main() -> None:
    """The long form: three workers, the default space in a reduced size, one worker cut off and one killed."""
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # so that the hosts are taken down

    def say(what: str) -> None:
        print(f"| {time.monotonic() - begun:.0f} | {what} |", flush=True)

    with tempfile.TemporaryDirectory(prefix="sweep-hosts-") as folder, cluster(Path(folder), 3) as c:
        print(f"`{DEFAULT_SPACE}`\n\n| s | what |\n|---|---|", flush=True)
        c.ray("up", "-y", str(c.file))
        say("`ray up`: the head runs")
        wait_for(lambda: c.nodes() == 3, 180, "three workers")
        say("three workers have joined")
        assert refused(c)
        say("a driver with another token is refused")
        laptop = c.sweep(*DEFAULT_SPACE.split(), "--workers", "3", "--run-dir", "long")
        until(laptop, "started long")
        laptop.kill()
        say("the sweep is sent and started; the laptop is closed")
        run, (first, second, _third) = c.shared / "long", c.workers
        wait_for(lambda: states(run)["COMPLETE"] + states(run)["PRUNED"] > 1, 1800, "two trials")
        trial = wait_for(lambda: amid(run, first), 600, "a trial in the midst of its stages on worker 1")
        first.cut()
        say(f"worker 1 is cut off, amid {trial}: {dict(states(run))}")
        trial = wait_for(lambda: amid(run, second), 600, "a trial in the midst of its stages on worker 2")
        second.kill()
        say(f"worker 2 is killed, amid {trial}: {dict(states(run))}")
        wait_for(lambda: c.nodes() == 1, 300, "Ray misses both")
        say(f"Ray has missed both: {dict(states(run))}")
        laptop = c.sweep("--attach", "long")
        lines = until(laptop, "fetched")
        assert laptop.wait() == 0, "\n".join(lines)
        say("the laptop is opened and attached; the sweep has ended and its results are fetched")
        here = c.home / "runs" / "long"
        assert (here / "report.html").is_file() and sum(states(here).values()) == TRIALS, states(here)
        assert not states(here)["RUNNING"] and not states(here)["FAIL"], states(here)
        again, stages = moved(here), rows(here, "stages")
        assert not made_twice(here) and again, (made_twice(here), again)
        confirmed = Counter(row["state"] for row in rows(here, "replicates"))
        say(f"trials: {dict(states(here))}; replicates: {dict(confirmed)}; stages: {len(stages)}, none made twice")
        say(f"went on on another host: {'; '.join(again)}")
        c.ray("down", "-y", str(c.file))
        say("`ray down` has answered")
        wait_for(lambda: not any(left(host) for host in (c.head, first, c.workers[2])), 180, "hosts without Ray")
        say("nothing of Ray or of the sweep runs on the head, worker 1 or worker 3")
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[2]:.1f}")


if __name__ == "__main__":
    main()
