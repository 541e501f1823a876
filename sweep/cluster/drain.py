"""The notice that a spot node will be taken away, and what follows: Ray drains the node, and its trials go on elsewhere.

Run on each spot worker: ``python -m sweep.cluster drain --provider aws``. A cloud tells a node alone, through its metadata
service (AWS two minutes before, by IMDSv2; Google Cloud half a minute), and Ray's own autoscaler doesn't ask. A drained node is
given no new work; a trial that is lost with it is begun again on another node, from its last stage or its in-stage checkpoint,
and isn't counted as failed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from sweep.errors import UsageError

METADATA = "http://169.254.169.254"  # of both clouds: link-local, so that only the node itself is answered
GCP_SECONDS = 30  # from the notice to the end; AWS names the time
_TIMEOUT_S = 5
# No proxy that the environment names: the address is this node's own.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def add_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--provider", required=True, choices=sorted(NOTICES), help="whose notice is waited for; told: it has come"
    )
    p.add_argument("--metadata", default=METADATA, metavar="URL", help=f"the metadata service (default: {METADATA})")
    p.add_argument("--every", type=float, default=5.0, metavar="S", help="seconds between two questions (default: 5)")
    p.add_argument(
        "--gcs",
        default=os.environ.get("RAY_ADDRESS", ""),
        metavar="HOST:PORT",
        help="Ray's head (default: RAY_ADDRESS)",
    )
    p.add_argument("--node-id", default="", metavar="HEX", help="the node to drain (default: the one this runs on)")


def run(args: argparse.Namespace) -> int:
    """Wait for the notice, then drain; returns the exit code once Ray has accepted it."""
    if not args.gcs:
        raise UsageError("--gcs HOST:PORT is needed: the head's address, as in ray start --address")
    seconds = wait(lambda: NOTICES[args.provider](args.metadata), args.every)
    print(f"{args.provider} takes this node in {seconds:.0f} s: draining it", flush=True)
    drain(args.gcs, args.node_id, f"{args.provider} spot notice", seconds)
    print("drained", flush=True)
    return 0


def wait(notice: Callable[[], float | None], every: float) -> float:
    """Ask until there is a notice; returns the seconds that are left. A metadata service that fails is asked again."""
    said = ""
    while True:
        try:
            if (seconds := notice()) is not None:
                return seconds
        except (OSError, ValueError) as error:  # URLError is an OSError; ValueError: an answer that is none
            if str(error) != said:
                said = str(error)
                print(f"metadata service: {said}; asking again", file=sys.stderr, flush=True)
        time.sleep(every)


def aws_notice(metadata: str) -> float | None:
    """Seconds until AWS takes this node, None without a notice; by IMDSv2, whose session token is asked for first."""
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = _ask(urllib.request.Request(f"{metadata}/latest/api/token", method="PUT", headers=lifetime))
    try:
        answer = _ask(
            urllib.request.Request(
                f"{metadata}/latest/meta-data/spot/instance-action", headers={"X-aws-ec2-metadata-token": token}
            )
        )
    except urllib.error.HTTPError as error:
        if error.code == 404:  # the service's way to say that there is none
            return None
        raise
    at = dt.datetime.fromisoformat(json.loads(answer)["time"])
    return max(0.0, (at - dt.datetime.now(dt.UTC)).total_seconds())


def gcp_notice(metadata: str) -> float | None:
    """Seconds until Google Cloud takes this node, None without a notice."""
    request = urllib.request.Request(
        f"{metadata}/computeMetadata/v1/instance/preempted", headers={"Metadata-Flavor": "Google"}
    )
    answer = _ask(request).strip()
    if answer not in ("TRUE", "FALSE"):
        raise ValueError(f"it answered {answer[:40]!r}, neither TRUE nor FALSE")
    return float(GCP_SECONDS) if answer == "TRUE" else None


def _ask(request: urllib.request.Request) -> str:
    with _OPENER.open(request, timeout=_TIMEOUT_S) as answer:
        return str(answer.read().decode())


def heard_elsewhere(metadata: str) -> float:
    """Someone else has heard the notice, and asks for this: a Kubernetes pod's ``preStop``."""
    return float(GCP_SECONDS)


NOTICES: dict[str, Callable[[str], float | None]] = {"aws": aws_notice, "gcp": gcp_notice, "told": heard_elsewhere}


def drain(gcs: str, node_id: str, why: str, seconds: float) -> None:
    """Have Ray leave the node, by `ray drain-node`; asked again while the head doesn't answer, until the node is gone."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", gcs, "--reason-message", why]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", *(["--node-id", node_id] if node_id else [])]
    end = time.monotonic() + seconds
    while True:
        left = max(0, int(end - time.monotonic()))
        done = subprocess.run(
            [*command, "--deadline-remaining-seconds", str(left)],
            env=os.environ | {"RAY_ADDRESS": gcs},
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if not left:
            raise UsageError(f"--gcs {gcs}: Ray didn't take the notice: {said}")
        print(f"ray drain-node: {said}; asking again", file=sys.stderr, flush=True)
        time.sleep(1)
