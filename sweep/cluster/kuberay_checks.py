"""Checks of Kubernetes manifests for KubeRay: `RayCluster` and `RayJob`, and what lies beside them in the file.

Ray's wheel has no schema of them, so the fields are those of KubeRay 1.7's reference. Each object is looked at by its kind; one of
a kind that is not known here is a finding, and so is a field that opens a door unless it is known not to.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from sweep.cluster import network_policies, pod_checks, services
from sweep.cluster.files import ClusterFile, Document, Place
from sweep.cluster.finding import Check, Found, guarded
from sweep.cluster.manifest_shapes import misshapen, without_blanks
from sweep.cluster.secrets import secrets
from sweep.cluster.shell_words import LOOPBACK
from sweep.errors import near

STORAGE = "/mnt/shared"
_POD = ("template", "rayStartParams", "resources", "labels")
KEYS: dict[str, tuple[str, ...]] = {
    "RayCluster": ("suspend", "managedBy", "authOptions", "autoscalerOptions", "headServiceAnnotations", "headGroupSpec",
                   "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "rayVersion", "workerGroupSpecs", "upgradeStrategy",
                   "historyServerOptions", "networkPolicy", "tlsOptions"),
    "RayJob": ("activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata", "suspend",
               "clusterSelector", "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId",
               "submissionMode", "entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished",
               "shutdownAfterJobFinishes", "preRunningDeadlineSeconds"),
    "head": (*_POD, "headService", "enableIngress", "ingressOptions", "serviceType"),
    "worker": (*_POD, "suspend", "groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "scaleStrategy",
               "numOfHosts", "priority"),
    "autoscaler": ("resources", "image", "imagePullPolicy", "securityContext", "idleTimeoutSeconds", "upscalingMode", "version",
                   "env", "envFrom", "volumeMounts", "command", "args"),
}  # fmt: skip
_BASES: dict[str, Place] = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
"""Where each of KubeRay's kinds has its cluster."""
_SWEEPS = ("RayCluster", "RayJob")
_HARMLESS = {
    ("v1", "PersistentVolumeClaim"), ("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "ServiceAccount"), ("v1", "Namespace"),
    ("v1", "ResourceQuota"), ("v1", "LimitRange"), ("policy/v1", "PodDisruptionBudget"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
}  # fmt: skip
"""Kinds that open nothing, whatever they say. (That a Secret stands in a file is said elsewhere.)"""
_BESIDE = {("v1", "Service"), ("networking.k8s.io/v1", "NetworkPolicy")}
_OPENS = {"Ingress": "an Ingress lets in what is outside", "Gateway": "a Gateway lets in what is outside"}
Said = tuple[str, Document, tuple[Place, str, str]]


def run(file: ClusterFile) -> Iterator[Said]:
    """What the checks find, each with its check's name and the document it is in."""
    documents = [dataclasses.replace(document, values=without_blanks(document.values)) for document in file.documents]
    policies = [d.values for d in documents if _kind(d) == ("networking.k8s.io/v1", "NetworkPolicy") and not _wrong(d)]
    for document in documents:
        yield from guarded([secret], document, {})
        if wrong := _wrong(document):
            yield from (("schema", document, finding) for finding in wrong)
            continue
        kind = _kind(document)
        if kind[1] in _BASES:
            yield from _of_ray(document, policies)
        elif kind in _BESIDE:
            yield from guarded([open_port_beside], document, document.values.get("spec") or {}, name="open_port")
        elif kind not in _HARMLESS:
            yield "not_understood", document, _not_understood(kind)
    if not any(_kind(document)[1] in _BASES for document in documents):
        what = "no RayCluster and no RayJob in the file: nothing of it is passed"
        yield "not_understood", documents[0], (("kind",), what, "check it together with the cluster it belongs to")


def _of_ray(document: Document, policies: Sequence[dict[str, Any]]) -> Iterator[Said]:
    """What is found in one of KubeRay's own objects."""
    kind, spec = _kind(document), _cluster(document)
    if kind[1] not in _SWEEPS:
        yield "not_understood", document, _not_understood(kind)
        if not _at(document, (*_base(document), "headGroupSpec")):
            return
    if kind[1] == "RayJob" and spec is None and (document.values.get("spec") or {}).get("clusterSelector"):
        yield from guarded([job_schema], document, {}, name="schema")
        return  # its cluster is another object's, and checked there
    if not isinstance(spec, dict) or not isinstance(spec.get("headGroupSpec"), dict):
        place = (*_base(document), "headGroupSpec")
        yield "schema", document, (place, f"{'.'.join(map(str, place))} is missing", "see KubeRay's reference")
        return
    yield from guarded(CHECKS if kind[1] in _SWEEPS else _EXPOSURE, document, spec)
    for finding in unkept(document, spec, policies):
        yield "open_port", document, finding


def _kind(document: Document) -> tuple[str, str]:
    return str(document.values.get("apiVersion", "")), str(document.values.get("kind", ""))


def _wrong(document: Document) -> list[tuple[Place, str, str]]:
    return list(misshapen(document.values, _kind(document)[1]))


def _not_understood(kind: tuple[str, str]) -> tuple[Place, str, str]:
    what = _OPENS.get(kind[1], f"not understood: {kind[1] or 'no kind'} ({kind[0] or 'no apiVersion'})")
    known = sorted({*_SWEEPS, *(name for _, name in _HARMLESS | _BESIDE)})
    return ("kind",), f"{what}; it is not passed", f"this check knows {', '.join(known)}"


def unkept(document: Document, spec: dict[str, Any], policies: Sequence[dict[str, Any]]) -> Found:
    """Pods that no policy keeps from strangers: neither one in the file, nor KubeRay's own by ``networkPolicy``."""
    kuberay_policy = spec.get("networkPolicy")
    if isinstance(kuberay_policy, dict):
        if kuberay_policy.get("mode", "DenyAll") in ("DenyAll", "DenyAllIngress"):
            return
        policies = []
    namespace = str((document.values.get("metadata") or {}).get("namespace") or "default")
    open_groups = []
    for place, group in _groups(document, spec):
        labels = network_policies.pod_labels(document, group, head=place[-1] == "headGroupSpec")
        if not any(network_policies.keeps(policy, labels, namespace) for policy in policies):
            open_groups.append("the head" if place[-1] == "headGroupSpec" else str(group.get("groupName")))
    if open_groups:
        what = "every pod of the Kubernetes cluster reaches Ray's ports, and Ray runs code for whoever reaches it"
        if policies:
            what += (
                f" (no NetworkPolicy of the file selects the pods of {', '.join(open_groups)} in namespace {namespace})"
            )
        mend = "add a NetworkPolicy that lets in this cluster's own pods, and KubeRay's operator"
        yield ("metadata", "name"), what, mend


def open_port_beside(document: Document, spec: dict[str, Any]) -> Found:
    """What a Service or a NetworkPolicy beside the cluster opens."""
    if document.values["kind"] == "Service":
        yield from services.open_service(spec, ("spec",))
        annotations = (document.values.get("metadata") or {}).get("annotations") or {}
        yield from services.open_annotations(annotations, ("metadata", "annotations"))
    else:
        yield from network_policies.open_rules(spec, ("spec",))


def schema(document: Document, spec: dict[str, Any]) -> Found:
    if document.values.get("apiVersion") != "ray.io/v1":
        yield ("apiVersion",), f"apiVersion {document.values.get('apiVersion')}: not KubeRay's", "say ray.io/v1"
    if document.values["kind"] == "RayJob":
        yield from job_schema(document, spec)
    base = _base(document)
    parts: list[tuple[Place, str]] = [
        (base, "RayCluster"),
        ((*base, "headGroupSpec"), "head"),
        ((*base, "autoscalerOptions"), "autoscaler"),
    ]
    parts += [(place, "worker") for place, _ in _workers(document, spec)]
    for place, part in parts:
        yield from _unknown(document, place, part)
    for place, group in _groups(document, spec):
        if not _pod(group).get("containers"):
            yield (*place, "template"), "a pod without containers", "see KubeRay's reference"


def job_schema(document: Document, spec: dict[str, Any]) -> Found:
    """A RayJob's own keys, and its submitter's pod."""
    yield from _unknown(document, ("spec",), "RayJob")
    submitter: Place = ("spec", "submitterPodTemplate", "spec")
    yield from pod_checks.unsafe(_at(document, submitter), submitter)


def _unknown(document: Document, place: Place, part: str) -> Found:
    for key in sorted(_at(document, place).keys() - set(KEYS[part]), key=str):
        name = ".".join(map(str, (*place, key)))
        yield (*place, key), f"{name}: KubeRay knows no such key", near(str(key), KEYS[part])


def open_port(document: Document, spec: dict[str, Any]) -> Found:
    head, base = spec["headGroupSpec"], (*_base(document), "headGroupSpec")
    yield from services.open_service({"type": head.get("serviceType", "ClusterIP")}, base, "serviceType")
    service = head.get("headService") or {}
    yield from services.open_service(service.get("spec") or {}, (*base, "headService", "spec"))
    for place, notes in (
        ((*base, "headService", "metadata", "annotations"), (service.get("metadata") or {}).get("annotations")),
        ((*_base(document), "headServiceAnnotations"), spec.get("headServiceAnnotations")),
    ):
        yield from services.open_annotations(notes or {}, place)
    if head.get("enableIngress"):
        yield (*base, "enableIngress"), "an ingress opens the dashboard, which takes code", "say enableIngress: false"
    kuberay_policy: Place = (*_base(document), "networkPolicy")
    policy = spec.get("networkPolicy") or {}
    for key in ("head", "worker"):
        yield from network_policies.rules(
            (policy.get(key) or {}).get("ingressRules") or [], (*kuberay_policy, key, "ingressRules")
        )
    for i, group in enumerate(policy.get("workerGroups") or []):
        yield from network_policies.rules(
            group.get("ingressRules") or [], (*kuberay_policy, "workerGroups", i, "ingressRules")
        )


def open_pod(document: Document, spec: dict[str, Any]) -> Found:
    for place, group in _groups(document, spec):
        yield from pod_checks.unsafe(_pod(group), (*place, "template", "spec"))
    autoscaler: Place = (*_base(document), "autoscalerOptions", "securityContext")
    yield from pod_checks.unsafe_security(_at(document, autoscaler), autoscaler)


def open_dashboard(document: Document, spec: dict[str, Any]) -> Found:
    """A RayJob's dashboard is asked by KubeRay's operator over the network; nobody else's need be."""
    if document.values["kind"] in ("RayJob", "RayCronJob"):
        return
    place = (*_base(document), "headGroupSpec")
    parameters = spec["headGroupSpec"].get("rayStartParams") or {}
    if not _on_itself_alone(str(parameters.get("dashboard-host", ""))) and (
        str(parameters.get("include-dashboard")).lower() != "false"
    ):
        what = "the dashboard takes jobs, that is, code, and doesn't listen on the head alone"
        yield (*place, "rayStartParams"), what, 'say dashboard-host: "127.0.0.1"'
    yield from pod_checks.open_starts(_pod(spec["headGroupSpec"]), (*place, "template", "spec"))


def _on_itself_alone(host: str) -> bool:
    """Whether a host, which KubeRay writes into a shell's command as it is, is the machine's own."""
    try:
        (name,) = shlex.split(host)
    except ValueError:  # an open quote, or other than one word
        return False
    return name in LOOPBACK


def secret(document: Document, spec: dict[str, Any]) -> Found:
    yield from secrets(document)
    if document.values.get("kind") == "Secret":
        for key in {"data", "stringData"} & document.values.keys():
            yield (
                (key,),
                "a secret's content stands in the file",
                "kubectl create secret, or KubeRay's authOptions, makes it",
            )
    for place, text in document.texts():
        if place[-1] == "name" and text == "RAY_AUTH_TOKEN" and "value" in _at(document, place[:-1]):
            yield place, "a Ray token stands in the file", "leave it out: authOptions has KubeRay make one"


def head_runs_trials(document: Document, spec: dict[str, Any]) -> Found:
    head, place = spec["headGroupSpec"], (*_base(document), "headGroupSpec")
    parameters = head.get("rayStartParams") or {}
    if str(parameters.get("num-cpus")) != "0" or str(parameters.get("num-gpus", "0")) != "0":
        what, mend = "the head runs trials", 'say num-cpus: "0": a trial that starves the driver ends the sweep'
        yield (*place, "rayStartParams"), what, mend
    if any("gpu" in str(name) for container in _pod(head).get("containers") or [] for name in _limits(container)):
        yield (*place, "template"), "the head holds a GPU", "take it out: it runs no trial"


def worker_counts(document: Document, spec: dict[str, Any]) -> Found:
    base = _base(document)
    if spec.get("enableInTreeAutoscaling") is not True:
        yield (*base, "enableInTreeAutoscaling"), "workers neither come nor go", "say enableInTreeAutoscaling: true"
    if not spec.get("workerGroupSpecs"):
        yield (*base, "workerGroupSpecs"), "no workers: no trial ever runs", "add a group of workers"
    for place, group in _workers(document, spec):
        for key in ("minReplicas", "replicas"):
            if group.get(key) != 0:
                yield (*place, key), f"{group.get('groupName')}: {key} is {group.get(key)}, not 0", f"say {key}: 0"
        if not int(group.get("maxReplicas") or 0) >= 1:
            yield (
                (*place, "maxReplicas"),
                f"{group.get('groupName')}: its workers never come",
                "say maxReplicas: 1 or more",
            )


def paid_for_nothing(document: Document, spec: dict[str, Any]) -> Found:
    seconds = (spec.get("autoscalerOptions") or {}).get("idleTimeoutSeconds", 60)
    if not 600 <= seconds <= 900:
        place = (*_base(document), "autoscalerOptions", "idleTimeoutSeconds")
        yield (
            place,
            f"idleTimeoutSeconds is {seconds}",
            "600 … 900: a node takes minutes to come, and is billed until it goes",
        )
    if document.values["kind"] == "RayJob" and document.values["spec"].get("shutdownAfterJobFinishes") is not True:
        what = "the cluster stays when the job is done"
        yield ("spec", "shutdownAfterJobFinishes"), what, "say shutdownAfterJobFinishes: true"


def unpinned_image(document: Document, spec: dict[str, Any]) -> Found:
    for place, container in _containers(document, spec):
        image = str(container.get("image", ""))
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and (not tag or re.search(r"latest|nightly|master|main", tag)):
            yield (*place, "image"), f"image {image or 'is missing'}: not pinned", "name a version's tag, or a digest"


def token(document: Document, spec: dict[str, Any]) -> Found:
    if (spec.get("authOptions") or {}).get("mode") != "token":
        what = "token authentication is off, and Ray runs code for whoever reaches it"
        yield (*_base(document), "authOptions"), what, "say authOptions: {mode: token} (KubeRay 1.5.1 and newer)"


def storage(document: Document, spec: dict[str, Any]) -> Found:
    for place, group in _groups(document, spec):
        claims = {v.get("name") for v in _pod(group).get("volumes") or [] if "persistentVolumeClaim" in v}
        for i, container in enumerate(_pod(group).get("containers") or []):
            mounts = container.get("volumeMounts") or []
            if not any(m.get("mountPath") == STORAGE and m.get("name") in claims for m in mounts):
                what = f"{container.get('name')} has no shared storage at {STORAGE}: results would go with the pods"
                mend = "mount a persistentVolumeClaim there"
                yield (*place, "template", "spec", "containers", i), what, mend


CHECKS: tuple[Check, ...] = (
    schema,
    open_port,
    open_pod,
    open_dashboard,
    head_runs_trials,
    worker_counts,
    paid_for_nothing,
    unpinned_image,
    token,
    storage,
)


_EXPOSURE: tuple[Check, ...] = (open_port, open_pod, open_dashboard, token)
"""What is also said of kinds that no sweep runs on."""


def _base(document: Document) -> Place:
    return _BASES[document.values["kind"]]


def _cluster(document: Document) -> Any:
    return _at(document, _base(document)) or None


def _at(document: Document, place: Place) -> dict[str, Any]:
    """The mapping at a place; an empty one where there is none."""
    value: Any = document.values
    for step in place:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
        else:
            return {}
    return value if isinstance(value, dict) else {}


def _workers(document: Document, spec: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    for i, group in enumerate(spec.get("workerGroupSpecs") or []):
        yield (*_base(document), "workerGroupSpecs", i), group


def _groups(document: Document, spec: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    yield (*_base(document), "headGroupSpec"), spec["headGroupSpec"]
    yield from _workers(document, spec)


def _pod(group: dict[str, Any]) -> dict[str, Any]:
    return (group.get("template") or {}).get("spec") or {}


def _containers(document: Document, spec: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    for place, group in _groups(document, spec):
        for i, container in enumerate(_pod(group).get("containers") or []):
            yield (*place, "template", "spec", "containers", i), container


def _limits(container: dict[str, Any]) -> dict[str, Any]:
    return (container.get("resources") or {}).get("limits") or {}
