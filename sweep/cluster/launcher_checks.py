"""Checks of files for Ray's own launcher, `ray up`: on AWS, on Google Cloud, and on premises.

Ray's schema and its own validation come first; the rest is what they let through.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from sweep.cluster import container_options, networks, shell_words
from sweep.cluster.files import ClusterFile, Document, Place
from sweep.cluster.finding import Check, Found, guarded
from sweep.cluster.ray_validation import prepared, schema
from sweep.cluster.secrets import secrets
from sweep.errors import near

STORAGE = "/mnt/shared"
MOUNTED = (
    f"mountpoint -q {STORAGE} && test -w {STORAGE}"  # a folder in which nothing is mounted can be written to as well
)
TOKEN = "RAY_AUTH_MODE=token"
SETS_UP = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")
COMMANDS = (*SETS_UP, *STARTS)
_COMMON = (
    "type",
    "disable_node_updaters",
    "disable_launch_config_check",
    "foreground_node_launch",
    "worker_liveness_check",
)
_CLOUD = (*_COMMON, "region", "availability_zone", "use_internal_ips", "use_external_head_ip", "cache_stopped_nodes")
PROVIDER_KEYS: dict[str, tuple[str, ...]] = {
    "aws": (*_CLOUD, "security_group", "key_pair", "aws_credentials", "cloudwatch"),
    "gcp": (*_CLOUD, "project_id", "gcp_credentials"),
    "local": (*_COMMON, "head_ip", "worker_ips", "external_head_ip", "coordinator_address"),
}
"""Every key that Ray 2.60 reads from ``provider``. Its schema lets any other one through, and then a typing error silently
means the default."""


def run(file: ClusterFile) -> Iterator[tuple[str, Document, tuple[Place, str, str]]]:
    """What the checks find, each with its check's name; where Ray refuses the file, only that."""
    document = file.document
    for other in file.documents[1:]:
        yield (
            "schema",
            other,
            ((), "a second document: Ray reads one, and this one is not passed", "keep one in a file"),
        )
    if not isinstance(document.values["provider"], dict):
        what = f"provider is {document.values['provider']!r}, and not keys and values"
        yield "provider", document, (("provider",), what, "say provider: {type: …}")
        return
    known = PROVIDER_KEYS.get(file.provider)
    if known is None:
        what = f"provider.type {file.provider or 'is missing'}: not one that is checked here"
        yield "provider", document, (("provider", "type"), what, near(file.provider, PROVIDER_KEYS))
        return
    refused = list(schema(document))
    if not refused:
        ready, said = prepared(document.values)
        named: Place = next(((key,) for key in document.values if key in said), ())
        refused = [(named, said, "see Ray's cluster YAML reference")] if said else []
    for finding in refused:
        yield "schema", document, finding
    if refused:
        return
    yield from guarded(CHECKS, document, ready)


# ---- what may not be written at all ----


def provider_key(document: Document, ready: dict[str, Any]) -> Found:
    known = PROVIDER_KEYS[ready["provider"]["type"]]
    for key in ready["provider"].keys() - set(known):
        yield ("provider", key), f"provider.{key}: Ray reads no such key and goes on without", near(str(key), known)


def open_port(document: Document, ready: dict[str, Any]) -> Found:
    named = [(place, list(networks.networks(text))) for place, text in document.texts()]
    wide = networks.too_wide(network for _, allowed in named for network in allowed)
    for place, allowed in named:
        if written := [str(network) for network in allowed if network in wide]:
            what = f"{', '.join(written)} lets the internet in, or more of it than is yours"
            yield place, what, "name your own network, such as 203.0.113.0/24"
    kind = ready["provider"]["type"]
    for name, node in ready["available_node_types"].items():
        place, config = ("available_node_types", name, "node_config"), node["node_config"]
        groups = config.get("SecurityGroupIds")
        if kind == "aws" and groups and not (isinstance(groups, list) and all(map(_group_id, groups))):
            yield (*place, "SecurityGroupIds"), f"{name}: SecurityGroupIds is no list of ids", "write [sg-…]"
        if kind == "aws" and not groups:
            what = f"{name} has no SecurityGroupIds: Ray makes a group that opens SSH to the whole internet"
            yield place, what, "name a group of yours that takes SSH from one network"
        if kind == "gcp" and not config.get("networkInterfaces"):
            what = (
                f"{name} has no networkInterfaces: Ray takes the default network, which opens SSH to the whole internet"
            )
            yield place, what, "name a subnetwork whose firewall takes SSH from one network"


def open_dashboard(document: Document, ready: dict[str, Any]) -> Found:
    what = "the dashboard takes jobs, that is, code, and doesn't listen on the head alone"
    heads = 0
    for key in COMMANDS:
        for _, text in _commands(ready, key):
            if not shell_words.mentions_ray_start(text):
                continue
            place = _place(document, key, text)
            try:
                starts = list(shell_words.ray_starts(text))
            except ValueError as error:
                yield place, f"not understood as shell: {error}", "mend its quotes"
                continue
            if not starts:
                unread = "not understood: where ray start begins, and with which options"
                yield place, unread, "write it as a command of its own"
            begun = [start for start in starts if key == "head_start_ray_commands" or "--head" in start.options]
            heads += key == "head_start_ray_commands"
            if not all(start.listens_on_itself_alone for start in begun):
                yield place, what, "add --dashboard-host=127.0.0.1 to ray start"
    if not heads:
        unread = "nothing here says ray start: how Ray is started isn't known"
        yield ("head_start_ray_commands",), unread, "write ray start --head --dashboard-host=127.0.0.1 … here"


def open_container(document: Document, ready: dict[str, Any]) -> Found:
    """Options of the nodes' container, or of another one that a command runs, that are not known to be safe."""
    mend = "leave it out"
    for key in ("run_options", "head_run_options", "worker_run_options"):
        options: list[tuple[int, str]] = []
        for i, option in enumerate((ready.get("docker") or {}).get(key) or []):
            try:
                options += [(i, word) for word in shlex.split(str(option))]
            except ValueError as error:
                yield ("docker", key, i), f"not understood as shell: {error}", "mend its quotes"
        for i, what in container_options.unsafe(options):
            yield ("docker", key, i), what, mend
    for key in COMMANDS:
        for _, text in _commands(ready, key):
            try:
                runs = list(shell_words.container_runs(text))
            except ValueError as error:
                yield _place(document, key, text), f"not understood as shell: {error}", "mend its quotes"
                continue
            for words in runs:
                for _, what in container_options.unsafe([(0, word) for word in words], until_image=True):
                    yield _place(document, key, text), what, mend


def secret(document: Document, ready: dict[str, Any]) -> Found:
    yield from secrets(document)
    for key in {"aws_credentials", "gcp_credentials"} & ready["provider"].keys():
        yield (
            ("provider", key),
            f"provider.{key} puts credentials in the file",
            "leave them to the environment or a role",
        )


# ---- what must be there ----


def head_runs_trials(document: Document, ready: dict[str, Any]) -> Found:
    mend = "a trial that starves the driver ends the sweep"
    if ready["provider"]["type"] == "local":
        for i, text in _commands(ready, "head_start_ray_commands"):
            if "ray start" in text and not (_option(text, "num-cpus") == _option(text, "num-gpus") == "0"):
                yield ("head_start_ray_commands", i), "the head runs trials", f"add --num-cpus=0 --num-gpus=0: {mend}"
        return
    name = ready["head_node_type"]
    head, place = ready["available_node_types"][name], ("available_node_types", name)
    if head["resources"].get("CPU") != 0 or head["resources"].get("GPU"):
        yield (*place, "resources"), f"the head runs trials: it offers {head['resources']}", f"say {{CPU: 0}}: {mend}"
    if _spot(head):
        yield (
            (*place, "node_config"),
            "the head is a spot node",
            "take it on demand: reclaimed, it takes the sweep with it",
        )
    if head["min_workers"] or head["max_workers"]:
        yield (*place, "max_workers"), "more nodes of the head's type may start", "say min_workers: 0, max_workers: 0"


def worker_counts(document: Document, ready: dict[str, Any]) -> Found:
    if ready["provider"]["type"] == "local":
        return
    for name, node in _workers(ready).items():
        place = ("available_node_types", name)
        if node["min_workers"] != 0:
            yield (*place, "min_workers"), f"{name}: {node['min_workers']} workers never go", "say min_workers: 0"
        if node["max_workers"] < 1:
            yield (*place, "max_workers"), f"{name}: its workers never come", "say max_workers: 1 or more"
    total = sum(node["max_workers"] for node in _workers(ready).values())
    if ready["max_workers"] != total:
        what = f"max_workers is {ready['max_workers']}, its node types' together {total}"
        yield ("max_workers",), what, f"say max_workers: {total}, or the smaller figure decides"


def spot_and_fallback(document: Document, ready: dict[str, Any]) -> Found:
    if ready["provider"]["type"] == "local":
        return
    gpu = {name: node for name, node in _workers(ready).items() if node["resources"].get("GPU")}
    spot, steady = [n for n in gpu if _spot(gpu[n])], [n for n in gpu if not _spot(gpu[n])]
    if not spot or not steady:
        what = f"{len(spot)} spot and {len(steady)} on-demand types of GPU workers"
        yield ("available_node_types",), what, "one of each: spot first, on demand beyond it"
        return
    if min(gpu[n].get("priority", 0) for n in spot) <= max(gpu[n].get("priority", 0) for n in steady):
        yield ("available_node_types", spot[0], "priority"), "spot isn't taken first", "give it the higher priority"
    for name in steady:
        if gpu[name]["resources"] != gpu[spot[0]]["resources"]:
            what = f"{name} offers other resources than {spot[0]}"
            yield ("available_node_types", name, "resources"), what, "a trial must fit both: make them the same"


def spot_notice(document: Document, ready: dict[str, Any]) -> Found:
    if not any(_spot(node) for node in _workers(ready).values()):
        return
    if not any("sweep.cluster drain" in text for _, text in _commands(ready, "worker_start_ray_commands")):
        what = "spot workers are taken away without Ray's hearing of the notice"
        mend = "start python -m sweep.cluster drain in worker_start_ray_commands"
        yield ("worker_start_ray_commands",), what, mend


def unpinned_image(document: Document, ready: dict[str, Any]) -> Found:
    import ray

    docker = ready.get("docker") or {}
    for key in ("image", "head_image", "worker_image"):
        image = docker.get(key)
        if image and not (f":{ray.__version__}-py3" in image or "@sha256:" in image):
            what = f"docker.{key} {image}: not pinned to the Ray of this laptop, {ray.__version__}"
            yield ("docker", key), what, f"say rayproject/ray:{ray.__version__}-py311-gpu (or -cpu on the head)"
    if docker.get("image", "").endswith("-cpu") and "worker_image" not in docker:
        yield (
            ("docker", "image"),
            "docker.image is the workers' too, and has no CUDA",
            "say …-gpu, and head_image: …-cpu",
        )
    if not docker.get("image") and ready["provider"]["type"] != "local":
        yield ("docker",), "docker.image is missing, and the autoscaler fails without it", "pin one by Ray's version"
    for place, text in document.texts():
        if place[-1] == "sourceImage" and "/family/" in text:
            yield place, f"{text}: a family is another image tomorrow", "name an image of it by its date"


def unpinned_package(document: Document, ready: dict[str, Any]) -> Found:
    moving, installs = r"\blatest\b|nightly|\.dev0|git\+https?://", False
    for key in SETS_UP:
        for _, text in _commands(ready, key):
            place = _place(document, key, text)
            installs |= bool(re.search(r"pip install.* (\.|'\.'|\"\.\"|\S+\.whl)([\s);]|$)", text))
            if re.search(moving, text) or ("pip install" in text and "-c constraints.txt" not in text):
                yield place, f"{text.strip()!r} installs what is newest that day", "pip install -c constraints.txt …"
    if not installs:
        mend = "add to setup_commands: cd PROJECT && pip install -c constraints.txt '.'"
        yield ("setup_commands",), "nothing installs the project on the nodes", mend


def token(document: Document, ready: dict[str, Any]) -> Found:
    for key in STARTS:
        for i, text in _commands(ready, key):
            if not _shows_token(text):
                what = f"{key}: Ray starts without token authentication, and runs code for whoever reaches it"
                yield (key, i), what, f"write {TOKEN} before ray start"
    docker = ready.get("docker") or {}
    if docker.get("image") and not any(TOKEN in str(option) for option in docker.get("run_options") or []):
        what = "docker.run_options: a driver in the container shows no token"
        yield ("docker", "run_options"), what, f"add --env {TOKEN}"
    if not any(re.search(r"(^~|/home/\w+)/\.ray/?$", place) for place in ready["file_mounts"]):
        yield ("file_mounts",), "nothing brings the token to ~/.ray on the nodes", "add ~/.ray: ~/.ray-unlearning"


def storage(document: Document, ready: dict[str, Any]) -> Found:
    """A folder that is the same on all nodes and outlives them: run folders lie there whatever artifacts do."""
    if not any(STORAGE in text for _, text in _commands(ready, "initialization_commands")):
        what = f"nothing mounts shared storage at {STORAGE}: results would go with the nodes"
        yield ("initialization_commands",), what, f"mount it there, or {MOUNTED}"
    for i, text in _commands(ready, "initialization_commands"):
        if re.search(rf"\btest -[dwx] {STORAGE}", text) and not re.search(rf"\b(mountpoint|mount) .*{STORAGE}", text):
            what = (
                f"{STORAGE} passes where nothing is mounted too, on the node's own disk: results would go with the node"
            )
            yield ("initialization_commands", i), what, f"say {MOUNTED}"
    docker = ready.get("docker") or {}
    if docker.get("image") and not any(
        f"{STORAGE}:{STORAGE}" in str(option) for option in docker.get("run_options") or []
    ):
        what = f"docker.run_options: the container doesn't see {STORAGE}"
        yield ("docker", "run_options"), what, f"add --volume {STORAGE}:{STORAGE}"


def paid_for_nothing(document: Document, ready: dict[str, Any]) -> Found:
    if ready["provider"]["type"] == "local":
        return
    if ready["provider"].get("cache_stopped_nodes") is not False:
        what = "stopped nodes are kept, and their disks are billed"
        yield ("provider", "cache_stopped_nodes"), what, "say cache_stopped_nodes: false"
    minutes = ready["idle_timeout_minutes"]
    if not 10 <= minutes <= 15:
        what = f"idle_timeout_minutes is {minutes}"
        yield ("idle_timeout_minutes",), what, "10 … 15: a node takes minutes to come, and is billed until it goes"


def project(document: Document, ready: dict[str, Any]) -> Found:
    if "." not in ready["file_mounts"].values():
        yield ("file_mounts",), "the project isn't copied to the nodes", "add FOLDER: ."
    # Ray's own files write **/.git and **/.git/**: at whatever depth, so at the top too.
    patterns = {re.sub(r"^(\*\*/)?/?|(/\*\*)?/?$", "", str(pattern)) for pattern in ready["rsync_exclude"]}
    for name in sorted({".git", ".venv", "runs"} - patterns):
        yield (
            ("rsync_exclude",),
            f"{name} is copied to every node",
            f"add {'/' * (name == 'runs')}{name} to rsync_exclude",
        )


CHECKS: tuple[Check, ...] = (
    provider_key,
    open_port,
    open_dashboard,
    open_container,
    secret,
    head_runs_trials,
    worker_counts,
    spot_and_fallback,
    spot_notice,
    unpinned_image,
    unpinned_package,
    token,
    storage,
    paid_for_nothing,
    project,
)


def _commands(ready: dict[str, Any], key: str) -> Iterator[tuple[int, str]]:
    yield from enumerate(ready.get(key) or [])


def _place(document: Document, key: str, text: str) -> Place:
    """Where a command is written: Ray puts `setup_commands` before the head's and the workers'. Its key's, where Ray made it."""
    for name in (key, "setup_commands"):
        written = document.values.get(name) or []
        if text in written:
            return (name, written.index(text))
    return (key,)


def _shows_token(text: str) -> bool:
    """Whether every ``ray start`` of a command has token authentication; one that cannot be read has none."""
    try:
        starts = list(shell_words.ray_starts(text))
    except ValueError:
        starts = []
    if not starts:
        return not shell_words.mentions_ray_start(text)
    return all([v for v in start.variables if v.startswith("RAY_AUTH_MODE=")][-1:] == [TOKEN] for start in starts)


def _group_id(group: Any) -> bool:
    return isinstance(group, str) and re.fullmatch(r"sg-[0-9a-f]+", group) is not None


def _option(command: str, name: str) -> str:
    return (re.findall(rf"--{name}[= ](\S+)", command) or [""])[0]


def _workers(ready: dict[str, Any]) -> dict[str, Any]:
    return {name: node for name, node in ready["available_node_types"].items() if name != ready["head_node_type"]}


def _spot(node: dict[str, Any]) -> bool:
    config = node["node_config"]
    scheduling = config.get("scheduling") or {}
    for part in scheduling if isinstance(scheduling, list) else [scheduling]:
        if part.get("preemptible") or part.get("provisioningModel") == "SPOT":
            return True
    return (config.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
