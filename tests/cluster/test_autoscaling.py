"""Ray's own autoscaler on this machine, its nodes fake ones: they come for waiting trials, and go when idle.

One sweep shows it all, for it takes a while. In its middle one node is taken as a cloud takes a spot node: with notice. Its
artifacts are on an object store, S3 as moto serves it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import simulated_s3
import yaml
from metadata import metadata

from sweep.records import rows

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "questions" / "tiny.py"
SMALL = ("--base-steps", "20", "--samples-forgotten", "8", "--samples-per-retained", "4", "--confirm-seeds", "0",
         "--baseline-trials", "0", "--fid-budget", "100000", "--sampler", "random", "--trials", "3")  # fmt: skip
NODES = 2
HEAD = "ray.head.default"  # what Ray's fake provider calls its head, whatever the file does


@dataclass
class Fake:
    """A head without CPUs, and an autoscaler that may start `NODES` workers with one CPU each."""

    folder: Path
    address: str

    def workers(self) -> list[str]:
        """Ids of the workers that Ray counts as alive."""
        from ray._raylet import GcsClient

        nodes = GcsClient(address=self.address).get_all_node_info().values()
        return [node.node_id.hex() for node in nodes if node.state == 0 and node.resources_total.get("CPU")]

    def log(self) -> str:
        return (self.folder / "session_latest" / "logs" / "monitor.log").read_text()

    def raylet(self, node: str) -> int:
        """The process of a node."""
        return next(
            pid
            for pid, command in processes("cmdline")
            if f"--node_id={node}" in command and "raylet/raylet" in command
        )


def processes(file: str) -> Iterator[tuple[int, str]]:
    """Every process, with its ``cmdline`` or ``environ``."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            yield int(path.name), (path / file).read_text().replace("\0", " ")
        except OSError:  # it has ended
            continue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float, said: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:.0f} s: {said}")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    """A bucket and its place; all that is started after it may use it, and keeps what it reads in ``tmp_path/cache``."""
    with simulated_s3.served() as endpoint:
        for name, value in (simulated_s3.LOGIN | {"SWEEP_CACHE": str(tmp_path / "cache")}).items():
            monkeypatch.setenv(name, value)
        s3 = boto3.resource("s3", endpoint_url=f"http://{endpoint}")
        yield s3.create_bucket(Bucket="sweep"), simulated_s3.uri(endpoint, "sweep")


@pytest.fixture
def fake(bucket: tuple[Any, str]) -> Iterator[Fake]:
    folder, port = Path(tempfile.mkdtemp(prefix="sweep-ray-")), free_port()  # a short path: sockets lie in it
    address = f"127.0.0.1:{port}"
    node = {"node_config": {}, "min_workers": 0}
    config = {
        "cluster_name": "fake",
        "max_workers": NODES,
        "idle_timeout_minutes": 0.2,
        "upscaling_speed": 1.0,
        "provider": {"type": "fake_multinode", "gcs_address": address, "disable_node_updaters": True, "use_node_id_as_ip": True,
                     "disable_launch_config_check": True},
        "head_node_type": HEAD,
        "available_node_types": {HEAD: node | {"resources": {"CPU": 0}, "max_workers": 0},
                                 "worker": node | {"resources": {"CPU": 1}, "max_workers": NODES}},
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands",
                               "setup_commands", "head_setup_commands", "worker_setup_commands",
                               "head_start_ray_commands", "worker_start_ray_commands")},
        "file_mounts_sync_continuously": False,
    }  # fmt: skip
    (folder / "cluster.yaml").write_text(yaml.safe_dump(config))
    # Ray 2.60's newer autoscaler asks for a file of the fake provider that its wheel doesn't have.
    env = os.environ | {"RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "0", "SWEEP_TEST": str(folder)}
    start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--num-cpus=0", f"--port={port}"]
    start += [f"--temp-dir={folder}", f"--autoscaling-config={folder / 'cluster.yaml'}", "--node-ip-address=127.0.0.1"]
    start += [f"--ray-client-server-port={free_port()}", "--dashboard-host=127.0.0.1"]
    try:
        done = subprocess.run(start, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Fake(folder, address)
    finally:
        for _ in range(2):  # what the first round's processes were just starting
            for pid, environment in processes("environ"):
                if f"SWEEP_TEST={folder}" in environment:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
        shutil.rmtree(folder, ignore_errors=True)


def test_nodes_come_for_waiting_trials_a_node_is_taken_with_notice_and_idle_ones_go(
    fake: Fake, bucket: tuple[Any, str], tmp_path: Path
) -> None:
    assert fake.workers() == []
    run = tmp_path / "run"
    command = [sys.executable, "-m", "sweep.launch", "--space", str(TINY), *SMALL, "--workers", str(NODES + 2)]
    command += ["--address", fake.address, "--storage", bucket[1], "--run-dir", str(run)]
    with (tmp_path / "log").open("w") as log:
        sweep = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: len(fake.workers()) == NODES, 120, "workers for the tasks of the prepare phase")
        wait_for(lambda: any(r["state"] != "RUNNING" for r in rows(run, "trials")), 300, (tmp_path / "log").read_text())
        # All that the sweep may run at once wait for a node, and not one at a time.
        assert re.search(r"\(PACK\): 2\+ pending", fake.log()), re.findall(r".*pending placement groups", fake.log())
        node = fake.workers()[0]
        with metadata() as service:
            watcher = subprocess.Popen(
                [sys.executable, "-m", "sweep.cluster", "drain", "--provider", "aws", "--metadata", service.url,
                 "--gcs", fake.address, "--node-id", node, "--every", "0.2"],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            wait_for(lambda: len(service.asked) > 2, 60, "questions to the metadata service")
            service.take(10)
            assert watcher.communicate(timeout=60)[0].splitlines()[-1] == "drained"
        os.kill(fake.raylet(node), signal.SIGKILL)
        assert sweep.wait(timeout=400) == 0, (tmp_path / "log").read_text()
    finally:
        sweep.kill()
        sweep.wait()
    # Three trials, and the base model and the retrain control under attack.
    states = Counter(row["state"] for row in rows(run, "trials"))
    assert states["COMPLETE"] + states["PRUNED"] == sum(states.values()) == 5, rows(run, "trials")
    made = Counter(row["key"] for row in rows(run, "stages") if not row["found"])
    assert max(made.values()) == 1, "a finished stage was made again"
    kept = {Path(o.key).stem for o in bucket[0].objects.all() if o.key.endswith(".json")}
    assert made.keys() <= kept, "artifacts on the object store, their sidecars with them"
    assert list((tmp_path / "cache").iterdir()), "what a node has read it keeps"
    wait_for(lambda: not fake.workers(), 120, "idle workers gone")
