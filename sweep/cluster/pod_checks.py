"""Pods of a manifest: fields that are known to open neither the node nor a port of it, by the Kubernetes API's names.

A field that is not listed is a finding, whatever it does.
"""

from __future__ import annotations

from typing import Any

from sweep.cluster.files import Place
from sweep.cluster.finding import Found
from sweep.cluster.shell_words import mentions_ray_start, ray_starts

_POD = {
    "activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "containers", "dnsConfig", "dnsPolicy",
    "enableServiceLinks", "hostname", "imagePullSecrets", "initContainers", "nodeName", "nodeSelector", "os", "overhead",
    "preemptionPolicy", "priority", "priorityClassName", "readinessGates", "resourceClaims", "resources", "restartPolicy",
    "runtimeClassName", "schedulerName", "schedulingGates", "securityContext", "serviceAccount", "serviceAccountName",
    "setHostnameAsFQDN", "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds", "tolerations",
    "topologySpreadConstraints", "volumes",
}  # fmt: skip
_CONTAINER = {
    "args", "command", "env", "envFrom", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "name", "ports",
    "readinessProbe", "resizePolicy", "resources", "restartPolicy", "securityContext", "startupProbe", "stdin", "stdinOnce",
    "terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts", "workingDir",
}  # fmt: skip
_PORT = {"containerPort", "name", "protocol"}
_SECURITY = {
    "fsGroup", "fsGroupChangePolicy", "readOnlyRootFilesystem", "runAsGroup", "runAsNonRoot", "runAsUser", "supplementalGroups",
    "supplementalGroupsPolicy",
}  # fmt: skip
_CAPABILITIES = {"SYS_PTRACE", "IPC_LOCK", "SYS_NICE", "NET_BIND_SERVICE"}
_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "name", "nfs", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
_WHY = {
    "hostNetwork": "escapes the NetworkPolicy",
    "hostPID": "shows it the node's processes",
    "hostIPC": "shows it the node's shared memory",
    "hostPort": "opens a port of the node",
    "hostIP": "opens a port of the node",
    "privileged": "gives it the node",
    "hostPath": "gives it the node's files, its container runtime's socket among them",
    "allowPrivilegeEscalation": "lets it become more than it is",
}


def unsafe(spec: dict[str, Any], place: Place) -> Found:
    """What in a pod's spec is not known to be safe."""
    yield from _unknown(spec, _POD, place)
    yield from unsafe_security(spec.get("securityContext") or {}, (*place, "securityContext"))
    for i, volume in enumerate(spec.get("volumes") or []):
        yield from _unknown(volume, _VOLUMES, (*place, "volumes", i))
    for kind in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(kind) or []):
            inner = (*place, kind, i)
            yield from _unknown(container, _CONTAINER, inner)
            yield from unsafe_security(container.get("securityContext") or {}, (*inner, "securityContext"))
            for j, port in enumerate(container.get("ports") or []):
                yield from _unknown(port, _PORT, (*inner, "ports", j))


def open_starts(spec: dict[str, Any], place: Place) -> Found:
    """A ``ray start`` of a container's own, whose dashboard listens to the network."""
    for i, container in enumerate(spec.get("containers") or []):
        for key in ("command", "args"):
            text = "\n".join(map(str, container.get(key) or []))
            if not mentions_ray_start(text.replace("\n", " ")):
                continue
            inner = (*place, "containers", i, key)
            words = " ".join(map(str, container.get(key) or []))
            try:
                starts = [start for part in (text, words) for start in ray_starts(part) if "--head" in start.options]
            except ValueError as error:
                yield inner, f"not understood as shell: {error}", "mend its quotes"
                continue
            if not all(start.listens_on_itself_alone for start in starts):
                what = "the dashboard takes jobs, that is, code, and doesn't listen on the head alone"
                yield inner, what, "add --dashboard-host=127.0.0.1 to ray start"


def _unknown(values: dict[str, Any], known: set[str], place: Place) -> Found:
    for key in sorted(values.keys() - known, key=str):
        if values[key] is False or values[key] is None:
            continue
        why = _WHY.get(key, "is not known here to be safe")
        yield (*place, key), f"{key} {why}", "leave it out"


def unsafe_security(values: dict[str, Any], place: Place) -> Found:
    """What in a securityContext gives more than a container has."""
    yield from _unknown(
        values, {*_SECURITY, "capabilities", "seccompProfile", "appArmorProfile", "seLinuxOptions"}, place
    )
    for name in (values.get("capabilities") or {}).get("add") or []:
        if name not in _CAPABILITIES:
            yield (*place, "capabilities"), f"the capability {name} is not known here to be safe", "leave it out"
    for key in ("seccompProfile", "appArmorProfile"):
        if (values.get(key) or {}).get("type") == "Unconfined":
            yield (*place, key), f"{key} Unconfined: nothing keeps it from the node's kernel", "say RuntimeDefault"
