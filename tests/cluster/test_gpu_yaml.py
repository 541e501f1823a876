"""cluster/gpu.yaml, as far as it can be checked without a cloud: what Ray's own code makes of it, and the README's lines.

Nothing here needs a network or AWS credentials. `test_check.py` has the mistakes that a cluster file can have.
"""

from __future__ import annotations

import ast
import copy
import itertools
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent
from ray.scripts.scripts import cli as ray_command_line

from sweep.cluster.launcher_checks import PROVIDER_KEYS

Config = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "cluster"
GPU_YAML = FOLDER / "gpu.yaml"
README = FOLDER / "README.md"
CONSTRAINTS = FOLDER.parent / "constraints.txt"
WHOLE_INTERNET = ("0.0.0.0/0", "::/0")
RAY_SOURCE = Path(ray.__file__).parent


def load() -> Config:
    return yaml.safe_load(GPU_YAML.read_text())


def prepared(config: Config) -> Config:
    """The config with Ray's AWS defaults filled in: what `ray up` works with."""
    return prepare_config(copy.deepcopy(config))


def ray_default_ingress(security_group_ids: list[str]) -> list[Config]:
    """The inbound rules Ray gives a security group it makes, from its own source (importing the module needs boto3)."""
    path = RAY_SOURCE / "autoscaler/_private/aws/config.py"
    rules: list[ast.stmt] = [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and re.fullmatch(r"_create_default_(\w+_)?inbound_rules", node.name)
    ]
    scope: dict[str, Any] = {"itertools": itertools}
    exec(compile(ast.Module(rules, type_ignores=[]), str(path), "exec"), scope)
    return scope["_create_default_inbound_rules"](security_group_ids)


def test_no_file_names_the_whole_internet() -> None:
    for path in FOLDER.iterdir():
        assert not [cidr for cidr in WHOLE_INTERNET if cidr in path.read_text()], path.name


@pytest.mark.skipif(not CONSTRAINTS.exists(), reason="no constraints.txt in this checkout")
def test_the_constraints_keep_the_images_ray() -> None:
    assert re.search(rf"^ray(\[.*\])?=={re.escape(ray.__version__)}\b", CONSTRAINTS.read_text(), flags=re.MULTILINE)


# ---- what the file relies on in Ray ----


@pytest.mark.parametrize("provider, key", [(p, key) for p, keys in PROVIDER_KEYS.items() for key in keys])
def test_ray_reads_each_provider_key_we_call_known(provider: str, key: str) -> None:
    private = RAY_SOURCE / "autoscaler" / "_private"
    sources = [*(private / provider).rglob("*.py"), *private.glob("*.py")]
    assert any(f'"{key}"' in source.read_text() for source in sources)


def test_rays_own_security_group_would_be_open_to_everyone() -> None:
    ssh = [rule for rule in ray_default_ingress(["sg-0"]) if rule["FromPort"] == 22]
    assert ssh[0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}], "Ray's default changed: `security_group` may serve now"


def launched(config: Config, demand: dict[str, float], count: int) -> dict[str, int]:
    """Nodes that Ray's autoscaler starts for `count` waiting tasks, on an empty cluster."""
    autoscaling = AutoscalingConfig(prepared(config), skip_content_hash=True)
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=autoscaling.get_node_type_configs(),
            max_num_nodes=autoscaling.get_max_num_nodes(),
            resource_requests=[ResourceRequestByCount(request=ResourceRequestUtil.make(demand), count=count)],
        )
    )
    return {request.instance_type: request.count for request in reply.to_launch}


@pytest.mark.parametrize(
    "trials, nodes",
    [
        (1, {"gpu_spot": 1}),
        (2, {"gpu_spot": 1}),
        (8, {"gpu_spot": 4}),
        (9, {"gpu_spot": 4, "gpu_on_demand": 1}),
        (99, {"gpu_spot": 4, "gpu_on_demand": 2}),
    ],
)
def test_half_gpu_trials_get_spot_nodes_first_and_on_demand_beyond(trials: int, nodes: dict[str, int]) -> None:
    assert launched(load(), {"CPU": 1, "GPU": 0.5}, trials) == nodes


def test_the_manual_fallback_gets_on_demand_nodes() -> None:
    config = load()
    config["available_node_types"]["gpu_spot"]["max_workers"] = 0  # the README's line for a day without spot capacity
    assert launched(config, {"CPU": 1, "GPU": 0.5}, 4) == {"gpu_on_demand": 2}


def test_no_task_runs_on_the_head() -> None:
    assert "head" not in launched(load(), {"CPU": 1}, 1)


def test_ray_doesnt_notice_a_refused_spot_node() -> None:
    """Why the fallback needs a hand. When this fails Ray has learned it: shorten the README and the comment."""
    monitor = CloudResourceMonitor()
    refused = InstanceUpdateEvent(instance_type="gpu_spot", new_instance_status=Instance.ALLOCATION_FAILED)
    monitor.notify([refused])
    assert monitor.get_resource_availabilities() == monitor.get_recoverable_resource_availabilities() == {}


# ---- the README ----


@pytest.mark.parametrize("name", ["gpu.yaml", "gcp.yaml"])
@pytest.mark.parametrize(
    ("with_ray", "minutes"),
    [
        ([False] * 40, 30),
        ([False] * 29 + [True] + [False] * 40, 60),  # slow to be set up, then its head is lost
        ([True] * 100, None),
    ],
)
def test_a_worker_that_lost_its_head_switches_itself_off(
    name: str, with_ray: list[bool], minutes: int | None, tmp_path: Path
) -> None:
    (command,) = [c for c in yaml.safe_load((FOLDER / name).read_text())["initialization_commands"] if "poweroff" in c]
    words = shlex.split(command)
    assert "/sys/bus/pci/devices/*/vendor" in words and "0x10de" in words, "machines with an NVIDIA GPU alone"
    loop = words[words.index("-c") + 1]
    minute = tmp_path / "minute"
    (tmp_path / "with-ray").write_text("".join("1\n" if there else "0\n" for there in with_ray))
    for program, body in {  # a minute passes at once, and the loop ends with the last of those that are told
        "sleep": f"echo >> {minute}; (( $(wc -l < {minute}) <= {len(with_ray)} ))",
        "pgrep": f'[[ "$*" == "-x raylet" && $(sed -n "$(wc -l < {minute})p" {tmp_path}/with-ray) == 1 ]]',
        "poweroff": f"wc -l < {minute} > {tmp_path}/off; kill $PPID",
    }.items():
        (tmp_path / program).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / program).chmod(0o755)
    subprocess.run(["bash", "-c", loop], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=60, check=False)
    off = tmp_path / "off"
    assert (int(off.read_text()) if off.exists() else None) == minutes


def test_a_gpu_worker_that_switches_itself_off_is_billed_no_more() -> None:
    """A machine of AWS that is stopped keeps its disk, which is billed; Google's other way is in the file."""
    types = load()["available_node_types"]
    ends = {name: kind["node_config"].get("InstanceInitiatedShutdownBehavior") for name, kind in types.items()}
    assert ends == {"head": None, "gpu_spot": "terminate", "gpu_on_demand": "terminate"}


def readme_lines() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines() if line.strip()]


@pytest.mark.parametrize("line", [line for line in readme_lines() if line.startswith("ray ")])
def test_ray_accepts_the_readmes_lines(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    context = ray_command_line.commands[name].make_context(name, arguments)  # parses, and runs nothing
    assert context.params["cluster_config_file"] == "cluster/gpu.yaml"


@pytest.mark.parametrize("line", [line for line in readme_lines() if "-m sweep." in line])
def test_the_sweep_accepts_the_readmes_lines(line: str) -> None:
    from sweep import launch
    from sweep.cluster import __main__ as cluster

    words = shlex.split(line.split(" -c ")[-1].strip("'").split(" > ")[0], comments=True)
    known = {"sweep.launch": launch.parser, "sweep.cluster": cluster.parser}[words[2]]()
    arguments = known.parse_args(words[3:])
    assert words[2] != "sweep.launch" or arguments.cluster == "cluster/gpu.yaml" or arguments.address == "auto"


def test_the_readme_makes_the_token_where_the_file_looks_for_it() -> None:
    folder = load()["file_mounts"]["/home/ray/.ray"]
    assert any(line.endswith(f"> {folder}/auth_token)") for line in readme_lines())


def test_the_readme_opens_ssh_to_one_documentation_network_only() -> None:
    assert re.findall(r"--(?:cidr |source-ranges=)(\d\S+)", README.read_text()) == ["203.0.113.0/24"] * 2 + [
        "10.10.0.0/20"
    ]
