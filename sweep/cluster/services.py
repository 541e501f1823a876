"""Services of a manifest: those that are known to be reached from within the Kubernetes cluster alone."""

from __future__ import annotations

from typing import Any

from sweep.cluster.files import Place
from sweep.cluster.finding import Found

_KEYS = {
    "clusterIP", "clusterIPs", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy", "ports", "publishNotReadyAddresses",
    "selector", "sessionAffinity", "sessionAffinityConfig", "trafficDistribution", "type",
}  # fmt: skip
_PORT = {"appProtocol", "name", "port", "protocol", "targetPort"}
_ANNOTATIONS = (
    "kubectl.kubernetes.io/",
    "meta.helm.sh/",
    "app.kubernetes.io/",
    "prometheus.io/",
    "argocd.argoproj.io/",
)


def open_service(spec: dict[str, Any], place: Place, key_of_type: str = "type") -> Found:
    """What in a Service's spec opens it to what is outside the Kubernetes cluster, or is not known not to."""
    kind = spec.get("type", "ClusterIP")
    if kind != "ClusterIP":
        yield (
            (*place, key_of_type),
            f"a {kind} opens the head to what is outside",
            "say ClusterIP, and use kubectl port-forward",
        )
    for key in sorted(spec.keys() - _KEYS, key=str):
        yield (*place, key), f"{key} of a Service is not known here to be safe", "leave it out"
    for i, port in enumerate(spec.get("ports") or []):
        for key in sorted(port.keys() - _PORT, key=str):
            yield (*place, "ports", i, key), f"{key} of a Service's port is not known here to be safe", "leave it out"


def open_annotations(annotations: dict[str, str], place: Place) -> Found:
    """Annotations of a Service that some other program may take for the order to open it."""
    for key in annotations:
        if not key.startswith(_ANNOTATIONS):
            yield (*place, key), f"the annotation {key}: it may open the Service, and is not known here", "leave it out"
