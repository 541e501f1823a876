"""`python -m sweep.cluster check` passes by what it knows to be safe: what was once "nothing to mend", and its like.

Each is a shipped file with one thing changed; what is found is that, at its line, and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import altered, found_in, said_at

from sweep.cluster import container_options, networks, shell_words

START_OF_PODS = "    template:\n      spec:\n        containers:\n          - name: head\n"
HEAD = "          - name: head\n"
POLICY = "    - from: [{podSelector: {matchLabels: {ray.io/cluster: unlearning-sweep}}}]"
SELECTOR = "  podSelector: {matchLabels: {ray.io/cluster: unlearning-sweep}}"


def beside(manifest: str) -> tuple[str, str]:
    """An object beside the cluster, in place of the comment on the storage."""
    return "# Runs and artifacts", f"{manifest}\n---\n# Runs and artifacts"


def service(spec: str, notes: str = "{}") -> tuple[str, str]:
    return beside(f"apiVersion: v1\nkind: Service\nmetadata:\n  name: dashboard\n  annotations: {notes}\nspec: {spec}")


def option(text: str) -> tuple[str, str]:
    return "    - --volume /mnt/shared:/mnt/shared", f"    - --volume /mnt/shared:/mnt/shared\n    - {text}"


def rule(*cidrs: str) -> tuple[str, str]:
    ranges = ", ".join(f"{{CidrIp: {cidr}}}" for cidr in cidrs)
    group = f"  security_group: {{IpPermissions: [{{FromPort: 8265, ToPort: 8265, IpProtocol: TCP, IpRanges: [{ranges}]}}]}}"
    return "  cache_stopped_nodes: false", f"  cache_stopped_nodes: false\n{group}"


def command(text: str) -> tuple[str, str]:
    return "head_setup_commands:\n", f"head_setup_commands:\n  - {text}\n"


# name: (file, what is replaced by what, the check that finds it, what stands in the line it names)
DANGERS: dict[str, tuple[str, tuple[str, str], str, str]] = {
    # beside the cluster
    "a LoadBalancer Service": ("kuberay.yaml", service("{type: LoadBalancer, selector: {a: b}}"), "open_port", "LoadBalancer"),
    "a NodePort Service": ("kuberay.yaml", service("{type: NodePort}"), "open_port", "NodePort"),
    "a Service of a type to come": ("kuberay.yaml", service("{type: Worldwide}"), "open_port", "Worldwide"),
    "a Service with external addresses": ("kuberay.yaml", service("{externalIPs: [198.51.100.7]}"), "open_port", "externalIPs"),
    "a Service that a program opens": ("kuberay.yaml", service("{}", '{tailscale.com/expose: "true"}'), "open_port", "tailscale"),
    "an Ingress": ("kuberay.yaml",
                   beside("apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: {}"), "not_understood", "Ingress"),
    "an HTTPRoute": ("kuberay.yaml",
                     beside("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute"), "not_understood", "HTTPRoute"),
    "a policy of another group": ("kuberay.yaml", beside("apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nspec: {}"),
                                  "not_understood", "kind: NetworkPolicy"),
    "a document without a kind": ("kuberay.yaml", beside("spec: {type: LoadBalancer}"), "not_understood", "spec:"),
    "a cron job": ("kuberay.yaml", beside("apiVersion: ray.io/v1\nkind: RayCronJob\nspec: {jobTemplate: {entrypoint: x}}"),
                   "not_understood", "RayCronJob"),
    # policies
    "a policy that lets in everybody": ("kuberay.yaml", (POLICY, "    - {}"), "open_port", "- {}"),
    "a rule with ports and no sources": ("kuberay.yaml", (POLICY, "    - ports: [{port: 8265}]"), "open_port", "8265"),
    "every pod of the namespace": ("kuberay.yaml", (POLICY, "    - from: [{podSelector: {}}]"), "open_port", "from"),
    "every namespace": ("kuberay.yaml", (POLICY, "    - from: [{namespaceSelector: {}}]"), "open_port", "from"),
    "such pods of every namespace": (
        "kuberay.yaml", (POLICY, "    - from: [{namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}]"), "open_port", "from"),
    "all pods but some": (
        "kuberay.yaml",
        (POLICY, "    - from: [{podSelector: {matchExpressions: [{key: a, operator: NotIn, values: [b]}]}}]"), "open_port", "from"),
    "a peer to come": ("kuberay.yaml", (POLICY, "    - from: [{everybody: {}}]"), "open_port", "everybody"),
    "the internet": ("kuberay.yaml", (POLICY, "    - from: [{ipBlock: {cidr: 0.0.0.0/0}}]"), "open_port", "ipBlock"),
    "the internet in halves": (
        "kuberay.yaml", (POLICY, "    - from: [{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: 128.0.0.0/1}}]"), "open_port", "/1"),
    "every pod by its address": ("kuberay.yaml", (POLICY, "    - from: [{ipBlock: {cidr: 10.0.0.0/8}}]"), "open_port", "ipBlock"),
    "a block without a network": ("kuberay.yaml", (POLICY, "    - from: [{ipBlock: {}}]"), "open_port", "ipBlock"),
    "labels that select nothing": ("kuberay.yaml", (SELECTOR, "  podSelector: {matchLabels: {ray.io/cluster: other}}"),
                                   "open_port", "metadata: {name: unlearning-sweep}"),
    "the workers alone": (
        "kuberay.yaml", (SELECTOR, "  podSelector: {matchLabels: {ray.io/node-type: worker}}"), "open_port", "metadata"),
    "what goes out alone": ("kuberay.yaml", ("policyTypes: [Ingress]", "policyTypes: [Egress]"), "open_port", "metadata"),
    "a cluster that is renamed": (
        "kuberay.yaml", ("kind: RayCluster\nmetadata: {name: unlearning-sweep}", "kind: RayCluster\nmetadata: {name: mine}"),
        "open_port", "name: mine"),
    "another namespace": (
        "kuberay.yaml", ("kind: RayCluster\nmetadata: {name", "kind: RayCluster\nmetadata: {namespace: gpu, name"), "open_port",
        "namespace: gpu"),
    "labels of a job's pods that aren't there": (
        "kuberay_job.yaml", ("        metadata: {labels: {sweep: unlearning-sweep-job}}\n        spec:\n          containers:",
                             "        metadata: {labels: {sweep: other}}\n        spec:\n          containers:"), "open_port",
        "metadata: {name"),
    "a job's own label, which KubeRay overwrites": (
        "kuberay_job.yaml", ("{sweep: unlearning-sweep-job}", "{ray.io/cluster: unlearning-sweep-job}"), "open_port", "name"),
    "KubeRay's own policy, open": (
        "kuberay.yaml", ("  enableInTreeAutoscaling: true",
                         "  enableInTreeAutoscaling: true\n  networkPolicy: {head: {ingressRules: [{}]}}"), "open_port",
        "ingressRules"),
    # pods
    "a port of the node": (
        "kuberay.yaml", (HEAD, HEAD + "            ports: [{containerPort: 8265, hostPort: 8265}]\n"), "open_pod", "hostPort"),
    "privileged": ("kuberay.yaml", (HEAD, HEAD + "            securityContext: {privileged: true}\n"), "open_pod", "privileged"),
    "a capability": ("kuberay.yaml", (HEAD, HEAD + "            securityContext: {capabilities: {add: [SYS_ADMIN]}}\n"), "open_pod",
                     "SYS_ADMIN"),
    "the docker socket in a pod": (
        "kuberay.yaml", ("          - {name: storage, persistentVolumeClaim",
                         "          - {name: socket, hostPath: {path: /var/run/docker.sock}}\n"
                         "          - {name: storage, persistentVolumeClaim"), "open_pod", "hostPath"),
    "the node's processes": ("kuberay.yaml", ("          nodeSelector:", "          hostPID: true\n          nodeSelector:"),
                             "open_pod", "hostPID"),
    "a field of pods to come": ("kuberay.yaml", ("          nodeSelector:", "          hostDoors: open\n          nodeSelector:"),
                                "open_pod", "hostDoors"),
    "Ray started by the pod itself": (
        "kuberay.yaml", (HEAD, HEAD + "            command: [bash, -c, ray start --head --dashboard-host=0.0.0.0]\n"),
        "open_dashboard", "ray start"),
    "Ray started word by word": (
        "kuberay.yaml", (HEAD, HEAD + "            args: [ray, start, --head, --dashboard-host, 0.0.0.0]\n"), "open_dashboard",
        "ray"),
    "the dashboard's host is a variable": (
        "kuberay.yaml", ('dashboard-host: "127.0.0.1"', "dashboard-host: $MY_POD_IP"), "open_dashboard", "rayStartParams"),
    "headService with a door": (
        "kuberay.yaml", ("    serviceType: ClusterIP", "    serviceType: ClusterIP\n    headService: {spec: {type: NodePort}}"),
        "open_port", "NodePort"),
    # networks, for `ray up`
    "both halves of the internet": ("gpu.yaml", rule("0.0.0.0/1", "128.0.0.0/1"), "open_port", "/1"),
    "four quarters": ("gpu.yaml", rule("0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"), "open_port", "/2"),
    "the internet by its mask": ("gpu.yaml", rule("0.0.0.0/0.0.0.0"), "open_port", "0.0.0.0/0.0.0.0"),
    "a cloud's whole range": ("gpu.yaml", rule("3.0.0.0/8"), "open_port", "3.0.0.0/8"),
    "the public internet, IPv6": ("gpu.yaml", rule("'2000::/3'"), "open_port", "2000::/3"),
    "a firewall's line": (
        "on_premises.yaml", ("&& test -w /mnt/shared", "&& test -w /mnt/shared\n  - ufw allow from 0.0.0.0/0"),
        "open_port", "ufw"),
    # containers, for `ray up`
    "a published port": ("gpu.yaml", option("-p 0.0.0.0:8265:8265"), "open_container", "8265"),
    "a published port, in one word": ("gpu.yaml", option("-p8265:8265"), "open_container", "8265"),
    "a published port among flags": ("gpu.yaml", option("-itp 8265:8265"), "open_container", "8265"),
    "a published port, spelled out": ("gpu.yaml", option('--publish="8265:8265"'), "open_container", "8265"),
    "every port published": ("gpu.yaml", option("-P"), "open_container", "- -P"),
    "a privileged container": ("gpu.yaml", option("--privileged"), "open_container", "--privileged"),
    "the docker socket": ("gpu.yaml", option("-v /var/run/docker.sock:/var/run/docker.sock"), "open_container", "docker.sock"),
    "the docker socket, by a detour": ("gpu.yaml", option("-v /mnt/../run:/run"), "open_container", "/mnt/../run"),
    "the whole machine": ("gpu.yaml", option("--mount type=bind,source=/,target=/host"), "open_container", "source=/"),
    "the machine's processes": ("gpu.yaml", option("--pid=host"), "open_container", "--pid"),
    "an option to come": ("gpu.yaml", option("--open-sesame"), "open_container", "sesame"),
    "an open quote": ("gpu.yaml", option("--env 'A=b"), "open_container", "--env 'A"),
    "another container beside": ("gpu.yaml", command("docker run -d -p 8265:8265 nginx"), "open_container", "nginx"),
    "another container, by another shell": (
        "gpu.yaml", command("""sudo bash -c "docker run --privileged nginx\""""), "open_container", "nginx"),
    # how Ray is started, for `ray up`
    "two hosts": ("gpu.yaml", ("--dashboard-host=127.0.0.1", "--dashboard-host=127.0.0.1 --dashboard-host=0.0.0.0"),
                  "open_dashboard", ">-"),
    "the host in a comment": ("gpu.yaml", ("--dashboard-host=127.0.0.1", "# --dashboard-host=127.0.0.1"), "open_dashboard", ">-"),
    "the host of another command": ("gpu.yaml", ("--dashboard-host=127.0.0.1", "; echo --dashboard-host=127.0.0.1"),
                                    "open_dashboard", ">-"),
    "a second head": ("gpu.yaml", command("RAY_AUTH_MODE=token ray start --head --dashboard-host=0.0.0.0"), "open_dashboard",
                      "dashboard-host=0.0.0.0"),
    "a script starts Ray": ("gpu.yaml", ("RAY_AUTH_MODE=token ray start --head", "./start.sh --head"), "open_dashboard",
                            "head_start_ray_commands"),
    "a token that sudo drops": ("on_premises.yaml",
                                ("RAY_enable_autoscaler_v2=0 ray start", "RAY_enable_autoscaler_v2=0 sudo ray start"),
                                "token", ">-"),
    "a second document": ("gpu.yaml", ("    > /tmp/drain.log 2>&1 < /dev/null\n",
                                       "    > /tmp/drain.log 2>&1 < /dev/null\n---\nprovider: {type: aws}\n"), "schema",
                          "provider: {type: aws}"),
}  # fmt: skip


@pytest.mark.parametrize("name", DANGERS)
def test_a_danger_is_found_at_its_line_and_nothing_else_is(name: str, tmp_path: Path) -> None:
    shipped, change, check, there = DANGERS[name]
    text = altered(shipped, change)
    found = found_in(text, tmp_path)
    assert {f.check for f in found} == {check}, list(map(str, found))
    assert any(there in line for line in said_at(found, text, check)), list(map(str, found))


def test_what_serves_models_is_not_passed_and_its_doors_are_named(tmp_path: Path) -> None:
    text = """\
apiVersion: ray.io/v1
kind: RayService
metadata: {name: demo}
spec:
  rayClusterConfig:
    headGroupSpec:
      serviceType: LoadBalancer
      rayStartParams: {dashboard-host: '0.0.0.0'}
      template:
        spec:
          hostNetwork: true
          containers: [{name: head, image: 'rayproject/ray:2.60.0'}]
"""
    found = found_in(text, tmp_path)
    lines = {finding.check: finding.line for finding in found if "NetworkPolicy that" not in finding.mend}
    assert lines == {"not_understood": 2, "token": 5, "open_port": 7, "open_dashboard": 8, "open_pod": 11}


def test_a_list_is_its_objects_with_their_lines(tmp_path: Path) -> None:
    objects = altered("kuberay.yaml", ("serviceType: ClusterIP", "serviceType: LoadBalancer")).split("\n---\n")
    items = [
        "- " + "\n  ".join(line for line in each.splitlines() if not line.startswith("#")).strip() for each in objects
    ]
    text = "apiVersion: v1\nkind: List\nitems:\n" + "\n".join(items)
    (finding,) = found_in(text, tmp_path)
    assert finding.check == "open_port" and "LoadBalancer" in text.splitlines()[finding.line - 1]


@pytest.mark.parametrize("items", ["[]", "[a]", "3", "{a: b}"])
def test_a_list_that_lists_nothing_is_not_passed(items: str, tmp_path: Path) -> None:
    found = found_in(f"apiVersion: v1\nkind: List\nitems: {items}\n", tmp_path)
    assert "List" in str(found) and {f.check for f in found} == {"not_understood"}


def test_what_holds_no_cluster_is_not_passed(tmp_path: Path) -> None:
    (finding,) = found_in("apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n", tmp_path)
    assert finding.check == "not_understood" and "no RayCluster" in finding.what


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([("--dashboard-host=127.0.0.1", '--dashboard-host="127.0.0.1"')], id="a host in quotes"),
        pytest.param([("--dashboard-host=127.0.0.1", "--dashboard-host 'localhost'")], id="localhost"),
        pytest.param([("--dashboard-host=127.0.0.1", "--dashboard-host=::1")], id="IPv6's own host"),
        pytest.param([("--dashboard-host=127.0.0.1", "--include-dashboard=false")], id="no dashboard"),
        pytest.param([("RAY_AUTH_MODE=token ray", 'RAY_AUTH_MODE="token" ray')], id="a token in quotes"),
        pytest.param([("RAY_AUTH_MODE=token ray", "export RAY_AUTH_MODE='token' && ray")], id="a token that is exported"),
        pytest.param([("RAY_AUTH_MODE=token ray", "env RAY_AUTH_MODE=token nohup ray")], id="a token by env"),
        pytest.param([("[.git, .venv, /runs,", "['**/.git', '**/.git/**', '**/.venv/', '**/runs/**',")], id="Ray's way to exclude"),
        pytest.param([option("-v ~/data:/data --shm-size=8g --ulimit nofile=9:9 -e HF_HOME --ipc=host")], id="known options"),
        pytest.param([command("docker run --rm --gpus all nvidia/cuda nvidia-smi -p 3")], id="an image's own options"),
        pytest.param([rule("203.0.113.0/24", "10.0.0.0/8", "8.8.8.0/24")], id="one's own networks"),
        pytest.param(
            [("  head:\n    # No CPU", "  head: &common\n    # No CPU"), ("  gpu_spot:\n", "  gpu_spot:\n    <<: *common\n"),
             ("  gpu_on_demand:\n", "  gpu_on_demand:\n    <<: [*common, *common]\n    <<: *common\n")], id="merge keys"),
    ],
)  # fmt: skip
def test_what_is_safe_for_ray_up_is_passed(changes: list[tuple[str, str]], tmp_path: Path) -> None:
    assert found_in(altered("gpu.yaml", *changes), tmp_path) == []


AUTOSCALING = "  enableInTreeAutoscaling: true\n"
NEWER = """\
  networkPolicy: {mode: DenyAllIngress, head: {ingressRules: [{from: [{podSelector: {matchLabels: {a: b}}}]}]}}
  tlsOptions: {enabled: true}
  historyServerOptions: {}
"""


@pytest.mark.parametrize(
    "shipped, changes",
    [
        pytest.param("kuberay.yaml", [('"127.0.0.1"', "localhost")], id="localhost"),
        pytest.param("kuberay.yaml", [('"127.0.0.1"', """'"127.0.0.1"'""")], id="quotes within quotes"),
        pytest.param("kuberay.yaml", [('dashboard-host: "127.0.0.1"', 'include-dashboard: "false"')], id="no dashboard"),
        pytest.param("kuberay.yaml", [(AUTOSCALING, AUTOSCALING + NEWER), (SELECTOR, SELECTOR.replace("sweep", "x"))],
                     id="KubeRay's own policy and keys newer than 1.5"),
        pytest.param("kuberay.yaml", [("      replicas: 0\n", "      replicas: 0\n      priority: 1\n"),
                                      ("    version: v2\n", "    version: v2\n    command: [a]\n    args: [b]\n"),
                                      ("    serviceType: ClusterIP\n", "    ingressOptions: {}\n")], id="newer keys of groups"),
        pytest.param("kuberay.yaml", [(SELECTOR, "  podSelector: {}")], id="a policy for every pod"),
        pytest.param("kuberay.yaml", [(SELECTOR, "  podSelector: {matchExpressions: [{key: ray.io/node-type, operator: Exists}]}")],
                     id="a policy by expressions"),
        pytest.param("kuberay.yaml", [(POLICY, f"{POLICY}\n    - from: [{{ipBlock: {{cidr: 203.0.113.0/24}}}}]")],
                     id="your network"),
        pytest.param("kuberay.yaml", [("metadata: {name: unlearning-sweep}", "metadata: {name: unlearning-sweep, namespace: gpu}")],
                     id="one namespace"),
        pytest.param("kuberay.yaml", [service("{selector: {a: b}, ports: [{port: 8265, targetPort: 8265}]}")],
                     id="a Service within"),
        pytest.param("kuberay.yaml", [("  template: &worker", "  suspend:\n      template: &worker")], id="a blank switch"),
        pytest.param("kuberay.yaml", [(HEAD, HEAD + "            securityContext: {privileged: false, runAsUser: 1000}\n")],
                     id="a switch that is off"),
    ],
)  # fmt: skip
def test_what_is_safe_on_kubernetes_is_passed(shipped: str, changes: list[tuple[str, str]], tmp_path: Path) -> None:
    assert found_in(altered(shipped, *changes), tmp_path) == []


def test_a_job_on_a_cluster_that_is_there_already_needs_none_of_its_own(tmp_path: Path) -> None:
    text = """\
apiVersion: ray.io/v1
kind: RayJob
metadata: {name: sweep}
spec:
  entrypoint: python -m sweep.launch
  clusterSelector: {ray.io/cluster: unlearning-sweep}
"""
    assert found_in(text, tmp_path) == []
    found = found_in(
        text + "  submitterPodTemplate: {spec: {hostNetwork: true, containers: []}}\n  entrypiont: x\n", tmp_path
    )
    assert [f.line for f in found] == [7, 8]


def test_what_a_merged_key_says_is_found_where_it_is_written(tmp_path: Path) -> None:
    old = "    min_workers: 0\n    max_workers: 4\n"
    text = altered("gpu.yaml", (old, "    <<: {min_workers: 1}\n    max_workers: 4\n"))
    (finding,) = found_in(text, tmp_path)
    assert finding.check == "worker_counts" and "<<: {min_workers: 1}" in text.splitlines()[finding.line - 1]


def test_networks_are_added_up() -> None:
    quarters = [network for text in ("0.0.0.0/2", "64.0.0.0/2", "8.8.8.0/24") for network in networks.networks(text)]
    assert {str(network) for network in networks.too_wide(quarters)} == {"0.0.0.0/2", "64.0.0.0/2"}
    halves = [network for text in ("8.0.0.0/16", "8.1.0.0/16") for network in networks.networks(text)]
    assert networks.too_wide(halves) == set(halves) and not networks.too_wide(halves[:1])
    assert not list(
        networks.networks("fs-0.efs.us-west-2.amazonaws.com:/ /mnt, at 12:30/13, in ./10.0.0.0/8, 10.0.0.1/64")
    )


def test_shell_is_split_as_a_shell_would() -> None:
    text = "A=1 ray start --head --num-cpus=$(nproc) --dashboard-host 'localhost' 2>&1 | tee x  # no --dashboard-host=0.0.0.0"
    (start,) = shell_words.ray_starts(text)
    assert start.listens_on_itself_alone and start.variables == ("A=1",)
    (inner,) = shell_words.ray_starts("""A=1 bash -c "B=2 ray start --head" """)
    assert not inner.listens_on_itself_alone and inner.variables == ("A=1", "B=2")
    with pytest.raises(ValueError):
        list(shell_words.ray_starts("ray start --head 'x"))


def test_the_options_of_containers_that_are_named_as_unsafe_are_not_also_known_as_safe() -> None:
    for word in (
        "-p",
        "-P",
        "-v/:/x",
        "--privileged",
        "--publish-all",
        "--userns=host",
        "--cap-add=ALL",
        "--device=/dev/sda",
    ):
        assert list(container_options.unsafe([(0, word), (0, "x")])), word
