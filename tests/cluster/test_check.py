"""`python -m sweep.cluster check`: the shipped files pass, and each mistake planted in a copy is the one finding, at its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweep.cluster import files, kuberay_checks, launcher_checks
from sweep.cluster.__main__ import main
from sweep.cluster.check import findings

FOLDER = Path(__file__).parents[2] / "cluster"
SHIPPED = sorted(path.name for path in FOLDER.glob("*.yaml"))

# name: (file, what is replaced, by what, the check that finds it, what stands in the line it names)
MISTAKES: dict[str, tuple[str, str, str, str, str]] = {
    # Ray's schema
    "unknown key": ("gpu.yaml", "idle_timeout_minutes: 12", "idle_timeout: 12", "schema", "idle_timeout: 12"),
    "a word for a number": ("gpu.yaml", "upscaling_speed: 1.0", "upscaling_speed: fast", "schema", "upscaling_speed"),
    "unknown docker key": ("gpu.yaml", "  pull_before_run:", "  pull_before:", "schema", "pull_before"),
    "no container name": ("gpu.yaml", "  container_name: sweep\n", "", "schema", "cluster_name"),
    "a head type that isn't there": ("gcp.yaml", "head_node_type: head", "head_node_type: haed", "schema", "head_node_type: haed"),
    "no head": ("on_premises.yaml", "  head_ip: 192.0.2.10", "  external_head_ip: 192.0.2.10", "schema", "cluster_name"),
    # provider
    "misspelt provider key": ("gpu.yaml", "  region: us-west-2 ", "  regoin: us-west-2 ", "provider_key", "regoin"),
    "misspelt key on premises": ("on_premises.yaml", "  worker_ips:", "  external_worker_isp: []\n  worker_ips:",
                                 "provider_key", "external_worker_isp"),
    "another cloud": ("gcp.yaml", "  type: gcp", "  type: gpc", "provider", "type: gpc"),
    "a key twice": ("gpu.yaml", "max_workers: 6\n", "max_workers: 6\nmax_workers: 6\n", "repeated_key", "max_workers: 6"),
    # open ports
    "SSH for everyone": ("gpu.yaml", "  cache_stopped_nodes: false", "  cache_stopped_nodes: false\n  security_group: "
                         "{IpPermissions: [{FromPort: 22, ToPort: 22, IpProtocol: tcp, IpRanges: [{CidrIp: 0.0.0.0/0}]}]}",
                         "open_port", "security_group"),
    "SSH for everyone, IPv6": ("gpu.yaml", "  cache_stopped_nodes: false", "  cache_stopped_nodes: false\n  security_group: "
                               "{IpPermissions: [{IpProtocol: tcp, Ipv6Ranges: [{CidrIpv6: '::/0'}]}]}",
                               "open_port", "security_group"),
    "Ray's own security group": ("gpu.yaml", "      SecurityGroupIds: &firewall [sg-0123456789abcdef0]",
                                 "      Tenancy: &firewall []", "open_port", "    node_config:"),
    "Google's default network": ("gcp.yaml", "      networkInterfaces: *network\n      scheduling:\n", "      scheduling:\n",
                                 "open_port", "    node_config:"),
    "dashboard for everyone": ("gpu.yaml", "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "open_dashboard", ">-"),
    "Ray's default dashboard": ("on_premises.yaml", " --dashboard-host=127.0.0.1", "", "open_dashboard", ">-"),
    "docker's socket": ("gpu.yaml", "--volume /mnt/shared:/mnt/shared",
                        "--volume /mnt/shared:/mnt/shared -v /var/run/docker.sock:/s", "open_container", "docker.sock"),
    # secrets
    "an access key": ("gpu.yaml", "worker_setup_commands: []", "worker_setup_commands: [export K=AKIAABCDEFGHIJKLMNOP]",
                      "secret", "AKIA"),
    "credentials": ("gpu.yaml", "  cache_stopped_nodes: false", "  cache_stopped_nodes: false\n  aws_credentials: {a: b}",
                    "secret", "aws_credentials"),
    "the token": ("on_premises.yaml", "RAY_AUTH_MODE=token RAY_enable", "RAY_AUTH_TOKEN=0123456789 RAY_AUTH_MODE=token RAY_enable",
                  "secret", ">-"),
    # the head
    "head with CPUs": ("gpu.yaml", "resources: {CPU: 0}", "resources: {CPU: 2}", "head_runs_trials", "CPU: 2"),
    "head with a GPU": ("gcp.yaml", "resources: {CPU: 0}", "resources: {CPU: 0, GPU: 1}", "head_runs_trials", "GPU: 1"),
    "spot head": ("gpu.yaml", "      InstanceType: m6i.large",
                  "      InstanceMarketOptions: {MarketType: spot}\n      InstanceType: m6i.large", "head_runs_trials",
                  "    node_config:"),
    "head with CPUs on premises": ("on_premises.yaml", "--num-cpus=0 ", "", "head_runs_trials", ">-"),
    # workers
    "worker that never goes": ("gpu.yaml", "min_workers: 0\n    max_workers: 4", "min_workers: 1\n    max_workers: 4",
                               "worker_counts", "min_workers: 1"),
    "limit too low": ("gpu.yaml", "max_workers: 6", "max_workers: 2", "worker_counts", "max_workers: 2"),
    "no spot": ("gpu.yaml", "      InstanceMarketOptions: {MarketType: spot} ", "      EbsOptimized: true ", "spot_and_fallback",
                "available_node_types"),
    "dear workers first": ("gpu.yaml", "    priority: 10", "    priority: 0", "spot_and_fallback", "priority: 0"),
    "nobody hears the notice": ("gpu.yaml", "sweep.cluster drain", "sweep.cluster rain", "spot_notice", "worker_start_ray"),
    "idle for an hour": ("gpu.yaml", "idle_timeout_minutes: 12", "idle_timeout_minutes: 60", "paid_for_nothing", "60"),
    "stopped nodes kept": ("gcp.yaml", "  cache_stopped_nodes: false\n", "", "paid_for_nothing", "provider:"),
    # images and packages
    "latest image": ("gpu.yaml", "  image: rayproject/ray:2.60.0-py311-gpu", "  image: rayproject/ray:latest-gpu",
                     "unpinned_image", "latest"),
    "nightly head": ("gcp.yaml", "ray:2.60.0-py311-cpu", "ray:nightly-py311-cpu", "unpinned_image", "nightly"),
    "image of another Ray": ("gpu.yaml", "ray:2.60.0-py311-gpu", "ray:2.9.0-py311-gpu", "unpinned_image", "2.9.0"),
    "image family": ("gcp.yaml", "images/REPLACE-v20260101", "images/family/common-gpu", "unpinned_image", "family"),
    "no constraints": ("gpu.yaml", "pip install -c constraints.txt '.'", "pip install '.'", "unpinned_package", "pip install"),
    "Ray's default set-up of the head": ("gpu.yaml", "head_setup_commands:\n  - python -c 'import boto3'\n", "",
                                         "unpinned_package", "cluster_name"),
    "project not installed": ("on_premises.yaml", "install -q -c constraints.txt .", "install -q -c constraints.txt ray",
                              "unpinned_package", "setup_commands"),
    # token
    "head without a token": ("gpu.yaml", "RAY_AUTH_MODE=token ray start --head", "ray start --head", "token", ">-"),
    "worker without a token": ("gpu.yaml", "RAY_AUTH_MODE=token ray start --address", "ray start --address", "token",
                               "ray start --address"),
    "driver without a token": ("gcp.yaml", "    - --env RAY_AUTH_MODE=token\n", "", "token", "run_options"),
    "token not copied": ("on_premises.yaml", "  ~/.ray: ~/.ray-unlearning\n", "", "token", "file_mounts"),
    # storage, and what is copied
    "nothing mounted": ("on_premises.yaml", "  - mountpoint -q /mnt/shared && test -w /mnt/shared", "  - test -w /mnt/other",
                        "storage", "initialization_commands"),
    "a folder that need not be mounted": ("on_premises.yaml", "mountpoint -q /mnt/shared && test -w", "test -w", "storage",
                                          "test -w /mnt/shared"),
    "container without storage": ("gpu.yaml", "    - --volume /mnt/shared:/mnt/shared\n", "", "storage", "run_options"),
    "runs copied": ("gpu.yaml", ".venv, /runs,", ".venv,", "project", "rsync_exclude"),
    "project not copied": ("gpu.yaml", "  /home/ray/unlearning: .\n", "", "project", "file_mounts"),
    # KubeRay
    "misspelt field": ("kuberay.yaml", "  enableInTreeAutoscaling: true",
                       "  enableInTreeAutoscaling: true\n  rayVerison: 2.60.0", "schema", "rayVerison"),
    "load balancer": ("kuberay.yaml", "serviceType: ClusterIP", "serviceType: LoadBalancer", "open_port", "LoadBalancer"),
    "no network policy": ("kuberay_job.yaml", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy",
                          "apiVersion: v1\nkind: ConfigMap", "open_port", "unlearning-sweep-job}"),
    "host network": ("kuberay.yaml", "    template:\n      spec:\n        containers:",
                     "    template:\n      spec:\n        hostNetwork: true\n        containers:", "open_pod", "hostNetwork"),
    "a kind that isn't known": ("kuberay.yaml", "# Runs and artifacts", "apiVersion: apps/v1\nkind: Deployment\n---\n#",
                                "not_understood", "kind: Deployment"),
    "dashboard in a pod": ("kuberay.yaml", 'dashboard-host: "127.0.0.1"', 'dashboard-host: "0.0.0.0"', "open_dashboard",
                           "rayStartParams"),
    "head pod with CPUs": ("kuberay_job.yaml", 'num-cpus: "0", ', "", "head_runs_trials", "rayStartParams"),
    "token off": ("kuberay.yaml", "authOptions: {mode: token}", "authOptions: {mode: disabled}", "token", "authOptions"),
    "pods for good": ("kuberay.yaml", "minReplicas: 0\n      maxReplicas: 4", "minReplicas: 1\n      maxReplicas: 4",
                      "worker_counts", "minReplicas: 1"),
    "no autoscaling": ("kuberay_job.yaml", "enableInTreeAutoscaling: true", "enableInTreeAutoscaling: false", "worker_counts",
                       "enableInTree"),
    "cluster stays": ("kuberay_job.yaml", "  shutdownAfterJobFinishes: true\n", "", "paid_for_nothing", "spec:"),
    "idle for a minute": ("kuberay.yaml", "idleTimeoutSeconds: 720", "idleTimeoutSeconds: 60", "paid_for_nothing", "60"),
    "image without a tag": ("kuberay_job.yaml", "- name: head\n              image: registry.example.com/unlearning-sweep:2.60.0",
                            "- name: head\n              image: registry.example.com/unlearning-sweep", "unpinned_image", "image:"),
    "emptyDir": ("kuberay_job.yaml", "persistentVolumeClaim: {claimName: sweep-storage}", "emptyDir: {}", "storage", "- name:"),
    "secret in a manifest": ("kuberay.yaml", "# Runs and artifacts",
                             "apiVersion: v1\nkind: Secret\nstringData: {auth_token: x}\n---\n#",
                             "secret", "stringData"),
}  # fmt: skip


def planted(name: str, folder: Path) -> Path:
    """A copy of a shipped file with one mistake in it."""
    shipped, old, new, _, _ = MISTAKES[name]
    text = (FOLDER / shipped).read_text()
    assert old in text, f"{shipped} no longer has {old!r}"
    path = folder / shipped
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_has_nothing_to_mend(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(FOLDER / name)]) == 0
    assert capsys.readouterr().out == f"{FOLDER / name}: nothing to mend\n"


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_the_one_finding_and_at_its_line(name: str, tmp_path: Path) -> None:
    path = planted(name, tmp_path)
    *_, check, there = MISTAKES[name]
    found = findings(files.read(str(path)))
    assert {f.check for f in found} == {check}, list(map(str, found))
    lines = path.read_text().splitlines()
    assert any(there in lines[f.line - 1] for f in found), [(f.line, lines[f.line - 1]) for f in found]
    assert all(f.what and f.mend for f in found)


def test_every_check_can_fail() -> None:
    known = {check.__name__ for check in (*launcher_checks.CHECKS, *kuberay_checks.CHECKS)}
    said = known | {"schema", "provider", "repeated_key", "secret", "not_understood"}
    assert said == {check for *_, check, _ in MISTAKES.values()}


def test_all_findings_are_listed_with_their_lines_and_the_exit_code_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (FOLDER / "gpu.yaml").read_text()
    for old, new in (
        ("  region: us", "  regoin: us"),
        ("=127.0.0.1", "=0.0.0.0"),
        ("idle_timeout_minutes: 12", "idle_timeout_minutes: 2"),
    ):
        text = text.replace(old, new)
    path = tmp_path / "gpu.yaml"
    path.write_text(text)
    assert main(["check", str(path)]) == 2
    printed = capsys.readouterr().out.splitlines()
    assert [re.findall(r"\[(\w+)\]$", line) for line in printed[:-1]] == [
        ["paid_for_nothing"], ["provider_key"], ["open_dashboard"]
    ]  # fmt: skip
    line = next(i for i, line in enumerate(text.splitlines(), 1) if "regoin" in line)
    assert printed[1].startswith(f"{path}:{line}: provider.regoin: ") and "did you mean 'region'" in printed[1]
    assert printed[-1] == f"{path}: 3 to mend"


def test_a_secret_is_not_repeated(tmp_path: Path) -> None:
    found = findings(files.read(str(planted("an access key", tmp_path))))
    assert found and "AKIA" not in "".join(map(str, found))


@pytest.mark.parametrize(
    "text, said",
    [
        ("cluster_name: [", "not YAML"),
        ("- a\n- b\n", "is no cluster file"),
        ("", "is no cluster file"),
        ("cluster_name: x\n", "neither a provider"),
        ("a: !!python/object/apply:os.system [true]\nprovider: {}\n", "not YAML"),
    ],
)
def test_what_is_no_cluster_file_is_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert main(["check", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}") and said in line


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "no.yaml")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_wheel_is_the_project_too(tmp_path: Path) -> None:
    text = (FOLDER / "on_premises.yaml").read_text()
    assert "constraints.txt .\n" in text
    (tmp_path / "wheel.yaml").write_text(text.replace("constraints.txt .\n", "constraints.txt *.whl\n"))
    assert not findings(files.read(str(tmp_path / "wheel.yaml")))


@pytest.mark.parametrize("name", ["gpu.yaml", "gcp.yaml", "on_premises.yaml"])
def test_an_image_takes_along_nothing_that_is_kept_from_the_nodes(name: str) -> None:
    """Whatever lies in the project folder: an environment of gigabytes, results, another commit's build."""
    kept = (FOLDER.parent / ".dockerignore").read_text().splitlines()
    for pattern in files.read(str(FOLDER / name)).document.values["rsync_exclude"]:
        anywhere = pattern if pattern.startswith("/") else f"**/{pattern}"
        assert anywhere.removeprefix("/") in kept, pattern
