"""Checks of Kubernetes manifests for KubeRay: `RayCluster` and `RayJob`, and what lies beside them in the file.

Ray's wheel has no schema of them, so the fields are those of KubeRay 1.5's reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sweep.cluster.check import Check, Found
from sweep.cluster.files import ClusterFile, Document, Place
from sweep.cluster.secrets import secrets
from sweep.errors import near

STORAGE = "/mnt/shared"
_POD = ("template", "rayStartParams", "resources", "labels")
KEYS: dict[str, tuple[str, ...]] = {
    "RayCluster": ("suspend", "managedBy", "authOptions", "autoscalerOptions", "headServiceAnnotations", "headGroupSpec",
                   "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "rayVersion", "workerGroupSpecs", "upgradeStrategy"),
    "RayJob": ("activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata", "suspend",
               "clusterSelector", "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId",
               "submissionMode", "entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished",
               "shutdownAfterJobFinishes", "preRunningDeadlineSeconds"),
    "head": (*_POD, "headService", "enableIngress", "serviceType"),
    "worker": (*_POD, "suspend", "groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "scaleStrategy",
               "numOfHosts"),
    "autoscaler": ("resources", "image", "imagePullPolicy", "securityContext", "idleTimeoutSeconds", "upscalingMode", "version",
                   "env", "envFrom", "volumeMounts"),
}  # fmt: skip


def run(file: ClusterFile) -> Iterator[tuple[str, Document, tuple[Place, str, str]]]:
    """What the checks find, each with its check's name and the document it is in."""
    kinds = [str(document.values.get("kind")) for document in file.documents]
    for document, kind in zip(file.documents, kinds, strict=True):
        for found in secret(document, {}):
            yield "secret", document, found
        if kind not in ("RayCluster", "RayJob"):
            continue
        spec = _cluster(document)
        if not isinstance(spec, dict) or not isinstance(spec.get("headGroupSpec"), dict):
            place = (*_base(document), "headGroupSpec")
            yield "schema", document, (place, f"{'.'.join(map(str, place))} is missing", "see KubeRay's reference")
            continue
        for check in CHECKS:
            for found in check(document, spec):
                yield check.__name__, document, found
        if "NetworkPolicy" not in kinds:
            what = "every pod of the Kubernetes cluster reaches Ray's ports, and Ray runs code for whoever reaches it"
            mend = "add a NetworkPolicy that lets in this cluster's own pods, and KubeRay's operator"
            yield "open_port", document, (("metadata", "name"), what, mend)


def schema(document: Document, spec: dict[str, Any]) -> Found:
    if document.values.get("apiVersion") != "ray.io/v1":
        yield ("apiVersion",), f"apiVersion {document.values.get('apiVersion')}: not KubeRay's", "say ray.io/v1"
    base, parts = _base(document), list[tuple[Place, str]]()
    if document.values["kind"] == "RayJob":
        parts.append((("spec",), "RayJob"))
    parts += [(base, "RayCluster"), ((*base, "headGroupSpec"), "head"), ((*base, "autoscalerOptions"), "autoscaler")]
    parts += [(place, "worker") for place, _ in _workers(document, spec)]
    for place, part in parts:
        for key in _at(document, place).keys() - set(KEYS[part]):
            yield (
                (*place, key),
                f"{'.'.join(map(str, (*place, key)))}: KubeRay knows no such key",
                near(key, KEYS[part]),
            )


def open_port(document: Document, spec: dict[str, Any]) -> Found:
    head, base = spec["headGroupSpec"], (*_base(document), "headGroupSpec")
    service = ((head.get("headService") or {}).get("spec") or {}).get("type")
    for place, kind in (
        ((*base, "serviceType"), head.get("serviceType")),
        ((*base, "headService", "spec", "type"), service),
    ):
        if kind in ("LoadBalancer", "NodePort"):
            yield place, f"a {kind} opens the head to what is outside", "say ClusterIP, and use kubectl port-forward"
    if head.get("enableIngress"):
        yield (*base, "enableIngress"), "an ingress opens the dashboard, which takes code", "say enableIngress: false"
    for place, group in _groups(document, spec):
        if _pod(group).get("hostNetwork"):
            yield (*place, "template", "spec", "hostNetwork"), "hostNetwork escapes the NetworkPolicy", "leave it out"


def open_dashboard(document: Document, spec: dict[str, Any]) -> Found:
    """A RayJob's dashboard is asked by KubeRay's operator over the network; nobody else's need be."""
    host = (spec["headGroupSpec"].get("rayStartParams") or {}).get("dashboard-host")
    if document.values["kind"] == "RayCluster" and host != "127.0.0.1":
        what = "the dashboard takes jobs, that is, code, and doesn't listen on the head alone"
        yield (*_base(document), "headGroupSpec", "rayStartParams"), what, 'say dashboard-host: "127.0.0.1"'


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
    if any("gpu" in name for container in _pod(head).get("containers") or [] for name in _limits(container)):
        yield (*place, "template"), "the head holds a GPU", "take it out: it runs no trial"


def worker_counts(document: Document, spec: dict[str, Any]) -> Found:
    base = _base(document)
    if spec.get("enableInTreeAutoscaling") is not True:
        yield (*base, "enableInTreeAutoscaling"), "workers neither come nor go", "say enableInTreeAutoscaling: true"
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
    open_dashboard,
    head_runs_trials,
    worker_counts,
    paid_for_nothing,
    unpinned_image,
    token,
    storage,
)


def _base(document: Document) -> Place:
    return ("spec", "rayClusterSpec") if document.values["kind"] == "RayJob" else ("spec",)


def _cluster(document: Document) -> Any:
    spec = document.values.get("spec") or {}
    return spec.get("rayClusterSpec") if document.values["kind"] == "RayJob" else spec


def _at(document: Document, place: Place) -> dict[str, Any]:
    value: Any = document.values
    for step in place:
        value = value.get(step) if isinstance(value, dict) else value[step]
    return value or {}


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
