"""cluster/gpu.yaml, as far as it can be checked without a cloud: by Ray's own validation, and against our promises.

Nothing here needs a network, boto3 or AWS credentials. `findings` is the checklist, and `BREAKS` shows that every line
of it can fail. Ray's own code is asked wherever it can be: what it accepts, opens, pulls and launches.
"""

from __future__ import annotations

import ast
import copy
import itertools
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent
from ray.scripts.scripts import cli as ray_command_line

Config = dict[str, Any]
Check = Callable[[Config], Iterator[str]]

FOLDER = Path(__file__).parents[2] / "cluster"
GPU_YAML = FOLDER / "gpu.yaml"
README = FOLDER / "README.md"
CONSTRAINTS = FOLDER.parent / "constraints.txt"

WHOLE_INTERNET = ("0.0.0.0/0", "::/0")
RAY_SOURCE = Path(ray.__file__).parent

# Every key that Ray 2.60 reads from `provider` on AWS, and a file that reads it. Ray's schema lets any other key
# through (`regoin`), and then a typing error silently means the default.
PROVIDER_KEYS = {
    "type": "autoscaler/_private/providers.py",
    "region": "autoscaler/_private/aws/config.py",
    "availability_zone": "autoscaler/_private/aws/config.py",
    "use_internal_ips": "autoscaler/_private/aws/config.py",
    "security_group": "autoscaler/_private/aws/config.py",
    "key_pair": "autoscaler/_private/aws/config.py",
    "aws_credentials": "autoscaler/_private/aws/config.py",
    "cache_stopped_nodes": "autoscaler/_private/aws/node_provider.py",
    "cloudwatch": "autoscaler/_private/aws/cloudwatch/cloudwatch_helper.py",
    "use_external_head_ip": "autoscaler/_private/updater.py",
    "disable_node_updaters": "autoscaler/_private/constants.py",
    "disable_launch_config_check": "autoscaler/_private/constants.py",
    "foreground_node_launch": "autoscaler/_private/constants.py",
    "worker_liveness_check": "autoscaler/_private/constants.py",
}


def load() -> Config:
    return yaml.safe_load(GPU_YAML.read_text())


def prepared(config: Config) -> Config:
    """The config with Ray's AWS defaults filled in: what `ray up` works with."""
    return prepare_config(copy.deepcopy(config))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = itertools.chain(value.keys(), value.values())
    elif isinstance(value, str):
        yield value
        return
    elif not isinstance(value, list):
        return
    for item in value:
        yield from strings(item)


def workers(config: Config) -> Config:
    return {name: node for name, node in config["available_node_types"].items() if name != config["head_node_type"]}


def is_spot(node: Config) -> bool:
    return node["node_config"].get("InstanceMarketOptions", {}).get("MarketType") == "spot"


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


# ---- the checklist: each check takes a config with Ray's defaults filled in, and yields what it finds wrong ----


def unknown_provider_keys(config: Config) -> Iterator[str]:
    for key in sorted(config["provider"].keys() - PROVIDER_KEYS.keys()):
        yield f"provider.{key} is no key that Ray reads"


def open_to_the_internet(config: Config) -> Iterator[str]:
    for text in strings(config):
        if any(cidr in text for cidr in WHOLE_INTERNET):
            yield f"{text!r} lets the whole internet in"
    for name, node in config["available_node_types"].items():
        if node["node_config"].get("SecurityGroupIds"):
            continue  # then Ray makes no group and adds no rule
        for rule in ray_default_ingress(["sg-0"]):
            if set(strings(rule)) & set(WHOLE_INTERNET):
                yield f"{name} has no SecurityGroupIds, so Ray opens port {rule['FromPort']} to the whole internet"


def secrets_in_the_file(config: Config) -> Iterator[str]:
    if "aws_credentials" in config["provider"]:
        yield "provider.aws_credentials is set"
    for text in strings(config):
        if re.search(r"AKIA[0-9A-Z]{16}", text):
            yield "an AWS access key"


def head_runs_trials(config: Config) -> Iterator[str]:
    head = config["available_node_types"][config["head_node_type"]]
    if head["resources"].get("CPU") != 0 or head["resources"].get("GPU"):
        yield f"the head offers {head['resources']}"
    if "InstanceMarketOptions" in head["node_config"]:
        yield "the head is a spot node"
    if head["min_workers"] or head["max_workers"]:
        yield "more nodes of the head's type may start"


def worker_counts(config: Config) -> Iterator[str]:
    for name, node in workers(config).items():
        if node["min_workers"] != 0 or node["max_workers"] < 1:
            yield f"{name}: {node['min_workers']} … {node['max_workers']} workers"
    if config["max_workers"] != sum(node["max_workers"] for node in workers(config).values()):
        yield "max_workers isn't the sum over the worker types"


def spot_and_fallback(config: Config) -> Iterator[str]:
    gpu = [node for node in workers(config).values() if node["resources"].get("GPU")]
    spot = [node for node in gpu if is_spot(node)]
    on_demand = [node for node in gpu if "InstanceMarketOptions" not in node["node_config"]]
    if not spot or not on_demand:
        yield f"{len(spot)} spot and {len(on_demand)} on-demand GPU types"
        return
    if min(node.get("priority", 0) for node in spot) <= max(node.get("priority", 0) for node in on_demand):
        yield "spot isn't preferred"
    if any(node["resources"] != spot[0]["resources"] for node in on_demand):
        yield "the fallback offers other resources than the spot type"


def unpinned_images(config: Config) -> Iterator[str]:
    for name, node in config["available_node_types"].items():
        kind = "gpu" if node["resources"].get("GPU") else "cpu"
        try:
            image = AutoscalingConfig(config, skip_content_hash=True).get_docker_config(name)["image"]
        except KeyError as error:
            yield f"{name}: the autoscaler doesn't find the key {error}"
            continue
        if not re.fullmatch(rf"rayproject/ray:{re.escape(ray.__version__)}-py3\d+-{kind}", image):
            yield f"{name}: {image} isn't the {kind} image of Ray {ray.__version__}"


def unpinned_packages(config: Config) -> Iterator[str]:
    for text in (text for key, commands in config.items() if key.endswith("_commands") for text in commands):
        if re.search(r"latest|nightly|\.dev0", text):
            yield f"{text!r} installs a moving version"
        if "pip install" in text and "-c constraints.txt" not in text:
            yield f"{text!r} ignores the constraints"
    if not any(re.search(r"pip install .*'\.'", text) for text in config["setup_commands"]):
        yield "setup_commands don't install the project"


def public_dashboard(config: Config) -> Iterator[str]:
    hosts = re.findall(r"--dashboard-host[= ](\S+)", " ".join(config["head_start_ray_commands"]))
    if hosts != ["127.0.0.1"]:
        yield f"the dashboard listens on {hosts}"


def missing_token(config: Config) -> Iterator[str]:
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [text for text in config[key] if "ray start" in text]
        if len(starts) != 1 or "RAY_AUTH_MODE=token ray start" not in starts[0]:
            yield f"{key}: Ray starts without RAY_AUTH_MODE=token"
    if not any("RAY_AUTH_MODE=token" in option for option in config["docker"].get("run_options", [])):
        yield "docker.run_options: a driver in the container has no RAY_AUTH_MODE=token"
    if "/home/ray/.ray" not in config["file_mounts"]:  # where Ray looks for auth_token unless told otherwise
        yield "file_mounts: nothing brings the token to /home/ray/.ray"


def paid_for_nothing(config: Config) -> Iterator[str]:
    if config["provider"].get("cache_stopped_nodes") is not False:
        yield "stopped nodes are kept, with their disks"
    if not 10 <= config["idle_timeout_minutes"] <= 15:
        yield f"idle_timeout_minutes is {config['idle_timeout_minutes']}, not in 10 … 15"


def copied_files(config: Config) -> Iterator[str]:
    if "." not in config["file_mounts"].values():
        yield "file_mounts: the project folder isn't copied"
    for name in {".git", ".venv", "runs"} - {pattern.strip("/") for pattern in config["rsync_exclude"]}:
        yield f"rsync_exclude: {name} is copied to every node"


CHECKS: tuple[Check, ...] = (
    unknown_provider_keys,
    open_to_the_internet,
    secrets_in_the_file,
    head_runs_trials,
    worker_counts,
    spot_and_fallback,
    unpinned_images,
    unpinned_packages,
    public_dashboard,
    missing_token,
    paid_for_nothing,
    copied_files,
)


def findings(config: Config) -> list[str]:
    """What is wrong with a cluster file, each after the name of its check; where Ray refuses the file, only that."""
    try:
        ready = prepared(config)
        validate_config(ready)
    except Exception as error:  # Ray raises AssertionError, KeyError, ValueError and jsonschema's ValidationError
        return [f"ray: {error}"]
    return [f"{check.__name__}: {found}" for check in CHECKS for found in check(ready)]


# ---- the file, and what breaks it ----


def test_the_file_keeps_every_promise() -> None:
    assert findings(load()) == []


def at(config: Config, path: str) -> Config:
    for key in path.split("."):
        config = config[key]
    return config


def put(path: str, key: str, value: Any) -> Callable[[Config], None]:
    return lambda config: at(config, path).__setitem__(key, value) if path else config.__setitem__(key, value)


def drop(path: str, key: str) -> Callable[[Config], None]:
    return lambda config: at(config, path).__delitem__(key) if path else config.__delitem__(key)


def replace(key: str, old: str, new: str) -> Callable[[Config], None]:
    return lambda config: config.__setitem__(key, [text.replace(old, new) for text in config[key]])


def ssh_from(**addresses: Any) -> Config:
    return {"IpPermissions": [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **addresses}]}


HEAD, SPOT, FALLBACK = (f"available_node_types.{name}" for name in ("head", "gpu_spot", "gpu_on_demand"))
MARKET = {"InstanceMarketOptions": {"MarketType": "spot"}}

BREAKS: dict[str, tuple[str, Callable[[Config], None]]] = {
    "unknown top-level key": ("ray", put("", "idle_timeout", 12)),
    "unknown docker key": ("ray", put("docker", "images", "rayproject/ray:2.60.0")),
    "node type without resources": ("ray", drop(SPOT, "resources")),
    "head type that isn't there": ("ray", put("", "head_node_type", "haed")),
    "no container name": ("ray", drop("docker", "container_name")),
    "misspelt provider key": ("unknown_provider_keys", put("provider", "regoin", "eu-west-1")),
    "SSH rule for everyone": (
        "open_to_the_internet",
        put("provider", "security_group", ssh_from(IpRanges=[{"CidrIp": "0.0.0.0/0"}])),
    ),
    "SSH rule for everyone, IPv6": (
        "open_to_the_internet",
        put("provider", "security_group", ssh_from(Ipv6Ranges=[{"CidrIpv6": "::/0"}])),
    ),
    "Ray's own security group": ("open_to_the_internet", drop(f"{HEAD}.node_config", "SecurityGroupIds")),
    "no security group on one worker": ("open_to_the_internet", put(f"{SPOT}.node_config", "SecurityGroupIds", [])),
    "credentials": ("secrets_in_the_file", put("provider", "aws_credentials", {"aws_access_key_id": "x"})),
    "a key in a command": ("secrets_in_the_file", put("", "worker_setup_commands", ["export K=AKIA" + "A" * 16])),
    "head with CPUs": ("head_runs_trials", put(f"{HEAD}.resources", "CPU", 2)),
    "head with detected CPUs": ("head_runs_trials", put(HEAD, "resources", {})),
    "head with a GPU": ("head_runs_trials", put(f"{HEAD}.resources", "GPU", 1)),
    "spot head": ("head_runs_trials", lambda config: at(config, f"{HEAD}.node_config").update(MARKET)),
    "second head": ("head_runs_trials", put(HEAD, "max_workers", 1)),
    "worker that never goes": ("worker_counts", put(SPOT, "min_workers", 1)),
    "worker that never comes": ("worker_counts", put(FALLBACK, "max_workers", 0)),
    "global limit too low": ("worker_counts", put("", "max_workers", 2)),
    "no spot": ("spot_and_fallback", drop(f"{SPOT}.node_config", "InstanceMarketOptions")),
    "no fallback": ("spot_and_fallback", lambda config: at(config, f"{FALLBACK}.node_config").update(MARKET)),
    "dear workers first": ("spot_and_fallback", put(FALLBACK, "priority", 20)),
    "other fallback": ("spot_and_fallback", put(f"{FALLBACK}.resources", "GPU", 8)),
    "latest image": ("unpinned_images", put("docker", "image", "rayproject/ray:latest-gpu")),
    "nightly image": ("unpinned_images", put("docker", "head_image", "rayproject/ray:nightly-py311-cpu")),
    "image of another Ray": ("unpinned_images", put("docker", "image", "rayproject/ray:2.9.0-py311-gpu")),
    "GPU workers on the CPU image": ("unpinned_images", drop("docker", "head_image")),
    "images the autoscaler doesn't find": (
        "unpinned_images",
        lambda config: config["docker"].update(worker_image=config["docker"].pop("image")),
    ),
    "Ray's default set-up": ("unpinned_packages", drop("", "setup_commands")),
    "Ray's default for the head": ("unpinned_packages", drop("", "head_setup_commands")),
    "no constraints": ("unpinned_packages", replace("setup_commands", "-c constraints.txt ", "")),
    "project not installed": ("unpinned_packages", put("", "setup_commands", [])),
    "public dashboard": ("public_dashboard", replace("head_start_ray_commands", "127.0.0.1", "0.0.0.0")),
    "Ray's default dashboard": ("public_dashboard", drop("", "head_start_ray_commands")),
    "head without a token": ("missing_token", replace("head_start_ray_commands", "RAY_AUTH_MODE=token ", "")),
    "worker without a token": ("missing_token", replace("worker_start_ray_commands", "=token ray", "=disabled ray")),
    "driver without a token": ("missing_token", put("docker", "run_options", [])),
    "token not copied": ("missing_token", drop("file_mounts", "/home/ray/.ray")),
    "stopped nodes kept": ("paid_for_nothing", drop("provider", "cache_stopped_nodes")),
    "idle for an hour": ("paid_for_nothing", put("", "idle_timeout_minutes", 60)),
    "gone in a minute": ("paid_for_nothing", put("", "idle_timeout_minutes", 1)),
    "runs copied": ("copied_files", lambda config: config["rsync_exclude"].remove("/runs")),
    "project not copied": ("copied_files", drop("file_mounts", "/home/ray/unlearning")),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_file_is_found_out(name: str) -> None:
    check, break_it = BREAKS[name]
    config = load()
    break_it(config)
    assert [found for found in findings(config) if found.startswith(f"{check}: ")]


def test_every_check_can_fail() -> None:
    assert {check for check, _ in BREAKS.values()} == {"ray", *(check.__name__ for check in CHECKS)}


def test_neither_file_names_the_whole_internet() -> None:
    for path in (GPU_YAML, README):
        assert not [cidr for cidr in WHOLE_INTERNET if cidr in path.read_text()], path.name


@pytest.mark.skipif(not CONSTRAINTS.exists(), reason="no constraints.txt in this checkout")
def test_the_constraints_keep_the_images_ray() -> None:
    assert re.search(rf"^ray(\[.*\])?=={re.escape(ray.__version__)}\b", CONSTRAINTS.read_text(), flags=re.MULTILINE)


# ---- what the file relies on in Ray ----


@pytest.mark.parametrize("key", PROVIDER_KEYS)
def test_ray_reads_each_provider_key_we_call_known(key: str) -> None:
    assert f'"{key}"' in (RAY_SOURCE / PROVIDER_KEYS[key]).read_text()


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


def readme_lines() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines() if line.strip()]


@pytest.mark.parametrize("line", [line for line in readme_lines() if line.startswith("ray ")])
def test_ray_accepts_the_readmes_lines(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    context = ray_command_line.commands[name].make_context(name, arguments)  # parses, and runs nothing
    assert context.params["cluster_config_file"] == "cluster/gpu.yaml"


@pytest.mark.parametrize("line", [line for line in readme_lines() if "sweep.launch" in line])
def test_the_sweep_accepts_the_readmes_lines(line: str) -> None:
    from sweep.launch import parser

    command = shlex.split(shlex.split(line, comments=True)[-1])
    assert command[:3] == ["python", "-m", "sweep.launch"]
    arguments = parser().parse_args(command[3:])
    assert arguments.resume or (arguments.address, arguments.gpus_per_trial) == ("auto", 0.5)


def test_the_readme_makes_the_token_where_the_file_looks_for_it() -> None:
    folder = load()["file_mounts"]["/home/ray/.ray"]
    assert any(line.endswith(f"> {folder}/auth_token)") for line in readme_lines())


def test_the_readme_opens_ssh_to_one_documentation_network_only() -> None:
    assert re.findall(r"--cidr (\S+)", README.read_text()) == ["203.0.113.0/24"]
