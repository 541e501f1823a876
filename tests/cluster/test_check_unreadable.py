"""What `python -m sweep.cluster check` cannot read, or reads in another shape than it has, is a line and no traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from planted import altered, found_in

from sweep.cluster.__main__ import main

UNFOLDING = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 10)}]" for i in range(8))


@pytest.mark.parametrize(
    "text, line, said",
    [
        pytest.param("# from \x1b[32mhere\x1b[0m\nprovider: {type: aws}\n", 1, "U+001B", id="a control character"),
        pytest.param("provider: {type: aws}\ncluster_name: a\x07\n", 2, "U+0007", id="another, further down"),
        pytest.param("provider: {type: aws}\ncluster_name: 2026-13-45\n", 2, "2026-13-45", id="an impossible date"),
        pytest.param("provider: {type: aws}\na: [2026-02-30]\n", 2, "2026-02-30", id="a day that no month has"),
        pytest.param("provider: {type: aws}\na: 2026-01-01 25:00:00\n", 2, "hour", id="an impossible hour"),
        pytest.param("provider: {type: aws}\na: !!int ten\n", 2, "ten", id="an impossible number"),
        pytest.param(
            "cluster_name: x\nprovider: &p {type: aws, again: *p}\n", 2, "holds itself", id="a mapping in itself"
        ),
        pytest.param("provider: {type: aws}\na: &a [[*a]]\n", 2, "holds itself", id="a list in itself"),
        pytest.param("provider: &p {type: aws, <<: *p}\n", 1, "holds itself", id="merged with itself"),
        pytest.param(f"provider: {{type: aws}}\n{UNFOLDING}\n", 0, "unfold without end", id="anchors of anchors"),
        pytest.param("provider: {type: aws}\n? [a]\n: b\n", 2, "unhashable", id="a list for a key"),
        pytest.param("provider: {type: aws}\n<<: 3\n", 2, "merging", id="merged with a number"),
        pytest.param("provider: {type: aws}\na: *b\n", 2, "undefined alias", id="an anchor that isn't there"),
        pytest.param(f"provider: {'[' * 3000}", 0, "nested too deeply", id="nested without end"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    text: str, line: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert main(["check", str(path)]) == 2
    (printed,) = capsys.readouterr().err.splitlines()
    assert printed.startswith(f"error: {path}:{line}:" if line else f"error: {path}:") and said in printed


TEXT = altered("on_premises.yaml")
PROVIDER = TEXT[TEXT.index("provider:") : TEXT.index("\nauth:")]
POLICY = "    - from: [{podSelector: {matchLabels: {ray.io/cluster: unlearning-sweep}}}]"


@pytest.mark.parametrize(
    "shipped, old, new, check, there",
    [
        pytest.param("on_premises.yaml", PROVIDER, "provider: aws\n", "provider", "provider: aws", id="a provider as a word"),
        pytest.param("on_premises.yaml", PROVIDER, "provider: [aws]\n", "provider", "provider: [aws]", id="a provider as a list"),
        pytest.param("on_premises.yaml", PROVIDER, "provider:\n", "provider", "provider:", id="a blank provider"),
        pytest.param("on_premises.yaml", PROVIDER, "provider: {type: [aws]}\n", "provider", "provider", id="a list of types"),
        pytest.param("gpu.yaml", "    - --volume /mnt/shared:/mnt/shared", "    - 3\n    - --volume /mnt/shared:/mnt/shared",
                     "open_container", "- 3", id="a number among options"),
        pytest.param("gpu.yaml", "resources: {CPU: 0}", "resources: {CPU: 0, 8265: 1}", "schema", "8265", id="a number for a key"),
        pytest.param("gpu.yaml", "InstanceMarketOptions: {MarketType: spot}", "InstanceMarketOptions: spot", "not_understood",
                     "cluster_name", id="a word for a mapping of AWS's"),
        pytest.param("gpu.yaml", "ulimit -n 65536; RAY_AUTH_MODE=token ray start --head", "ulimit -n '65536; ray start --head",
                     "open_dashboard", ">-", id="a quote that stays open"),
        pytest.param("kuberay.yaml", "idleTimeoutSeconds: 720", "idleTimeoutSeconds:", "paid_for_nothing", "idleTimeoutSeconds:",
                     id="a blank number"),
        pytest.param("kuberay.yaml", "idleTimeoutSeconds: 720", "idleTimeoutSeconds: twelve", "schema", "twelve", id="a word"),
        pytest.param("kuberay.yaml", "maxReplicas: 4", "maxReplicas: ten", "schema", "ten", id="replicas as a word"),
        pytest.param("kuberay.yaml", "      maxReplicas: 4", "      maxReplicas:", "worker_counts", "maxReplicas:",
                     id="blank replicas"),
        pytest.param("kuberay.yaml", "      minReplicas: 0\n      maxReplicas: 4", "      minReplicas: '0'\n      maxReplicas: 4",
                     "schema", "'0'", id="replicas in quotes"),
        pytest.param("kuberay.yaml", "    serviceType: ClusterIP", "    serviceType: [ClusterIP]", "schema", "[Cl",
                     id="a list of types"),
        pytest.param("kuberay.yaml", "authOptions: {mode: token}", "authOptions: token", "schema", "authOptions", id="authOptions"),
        pytest.param("kuberay.yaml", "volumeMounts: &mounts [{", "volumeMounts: &mounts [x, {", "schema", "volumeMounts",
                     id="a mount"),
        pytest.param("kuberay.yaml", "  podSelector: {matchLabels", "  podSelector: {matchLabel", "schema", "matchLabel:",
                     id="a selector that is misspelt"),
        pytest.param("gpu.yaml", "&firewall [sg-0123456789abcdef0]", "&firewall sg-0123456789abcdef0", "open_port", "&firewall",
                     id="a group as a word"),
        pytest.param("kuberay.yaml", POLICY, "    - everybody",
                     "schema", "everybody", id="a rule as a word"),
        pytest.param("kuberay.yaml", "metadata: {name: unlearning-sweep}\nspec:\n  rayVersion",
                     "metadata: sweep\nspec:\n  rayVersion",
                     "schema", "metadata: sweep", id="metadata as a word"),
        pytest.param("kuberay.yaml", "enableInTreeAutoscaling: true", "enableInTreeAutoscaling: 'yes'", "schema", "yes",
                     id="a switch"),
        pytest.param("kuberay_job.yaml", "  rayClusterSpec:\n", "  rayClusterSpec:\n  was:\n", "schema", "rayClusterSpec",
                     id="a blank cluster"),
    ],
)  # fmt: skip
def test_what_has_another_shape_is_a_finding_at_its_line(
    shipped: str, old: str, new: str, check: str, there: str, tmp_path: Path
) -> None:
    text = altered(shipped, (old, new))
    found = found_in(text, tmp_path)
    lines = [text.splitlines()[finding.line - 1] for finding in found if finding.check == check]
    assert any(there in line for line in lines), list(map(str, found))


VALUES = ["3", "word", "[3]", "{a: 3}", "{8265: 3}", "", "[[]]"]
# What Kubernetes takes: a key with nothing behind it is one that was left out, and resources have any name.
PASSED = [("rayVersion", ""), ("rayVersion", "word"), ("serviceType", ""), ("resources", ""), ("resources", "{a: 3}"),
          ("resources", "{8265: 3}"), ("podSelector", ""), ("policyTypes", ""), ("ingress", "")]  # fmt: skip
KEYS = {
    "kuberay.yaml": [
        "headGroupSpec", "workerGroupSpecs", "rayVersion", "autoscalerOptions", "authOptions", "enableInTreeAutoscaling",
        "template", "containers", "volumes", "resources", "rayStartParams", "serviceType", "volumeMounts", "image", "metadata",
        "podSelector", "policyTypes", "ingress", "kind", "apiVersion", "spec",
    ],
    "gpu.yaml": [
        "provider", "auth", "available_node_types", "head", "gpu_spot", "resources", "node_config", "InstanceMarketOptions",
        "SecurityGroupIds", "docker", "image", "run_options", "file_mounts", "rsync_exclude", "initialization_commands",
        "head_start_ray_commands", "max_workers", "idle_timeout_minutes",
    ],
}  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("shipped", "key"), [(shipped, key) for shipped, keys in KEYS.items() for key in keys])
def test_no_value_ends_in_a_traceback_or_is_passed(shipped: str, key: str, value: str, tmp_path: Path) -> None:
    text = altered(shipped)
    # In place of the key's whole block: what is indented more than it.
    changed, times = re.subn(
        rf"^( *(?:- )?){key}:.*\n(?:\1 +.*\n|\n)*", rf"\1{key}: {value}\n", text, flags=re.MULTILINE
    )
    assert times, key
    path = tmp_path / "file.yaml"
    path.write_text(changed)
    passed = shipped == "kuberay.yaml" and (key, value) in PASSED
    assert main(["check", str(path)]) == (0 if passed else 2)


def test_a_finding_gives_a_terminal_no_orders_and_is_one_line(tmp_path: Path) -> None:
    shipped = "registry.example.com/unlearning-sweep:2.60.0       # REPLACE: the README has its Dockerfile"
    (finding,) = found_in(altered("kuberay.yaml", (shipped, '"a\\e[2J\\nb"')), tmp_path)
    assert str(finding).isprintable() and "[2J" in str(finding)


def test_an_anchor_at_the_top_is_refused_because_ray_refuses_it(tmp_path: Path) -> None:
    from ray.autoscaler._private.util import validate_config

    text = altered("gpu.yaml", ("max_workers: 6", "mine: &mine {min_workers: 0}\nmax_workers: 6"))
    with pytest.raises(Exception, match="mine"):
        validate_config(yaml.safe_load(text))
    (finding,) = found_in(text, tmp_path)
    assert "Ray knows no such key" in finding.what and "where it is used first" in finding.mend
