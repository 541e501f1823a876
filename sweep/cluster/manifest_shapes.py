"""The shapes of the Kubernetes objects that are checked: what is a list, a mapping, a number or a text in them.

Only as far as the checks look; Kubernetes refuses any other shape as well.
"""

from __future__ import annotations

from typing import Any

from sweep.cluster.files import Place
from sweep.cluster.finding import Found

Shape = dict[str, Any]
_TEXT: Shape = {"type": "string"}
_NUMBER: Shape = {"type": "integer"}
_SWITCH: Shape = {"type": "boolean"}
_ANY: Shape = {"type": "object"}
_TEXTS: Shape = {"type": "object", "additionalProperties": _TEXT}


def _fields(**shapes: Shape) -> Shape:
    return {"type": "object", "properties": shapes}


def _list(shape: Shape) -> Shape:
    return {"type": "array", "items": shape}


_SELECTOR: Shape = {
    **_fields(matchLabels=_TEXTS, matchExpressions=_list(_fields(key=_TEXT, operator=_TEXT, values=_list(_TEXT)))),
    "additionalProperties": False,  # one that is misspelt would select everything
}
_RULES = _list(
    _fields(**{"from": _list(_fields(podSelector=_SELECTOR, namespaceSelector=_SELECTOR, ipBlock=_fields(cidr=_TEXT)))})
)
_SECURITY = _fields(capabilities=_fields(add=_list(_TEXT)), seccompProfile=_ANY, appArmorProfile=_ANY)
_CONTAINER = _fields(
    name=_TEXT, image=_TEXT, command=_list(_TEXT), args=_list(_TEXT), env=_list(_ANY), ports=_list(_ANY),
    resources=_fields(limits=_ANY, requests=_ANY), securityContext=_SECURITY,
    volumeMounts=_list(_fields(name=_TEXT, mountPath=_TEXT)),
)  # fmt: skip
_TEMPLATE = _fields(
    metadata=_fields(labels=_TEXTS, annotations=_TEXTS),
    spec=_fields(
        containers=_list(_CONTAINER),
        initContainers=_list(_CONTAINER),
        volumes=_list(_fields(name=_TEXT)),
        securityContext=_SECURITY,
    ),
)
_SERVICE = _fields(type=_TEXT, ports=_list(_ANY), externalIPs=_list(_TEXT))
_OBJECT = _fields(metadata=_fields(name=_TEXT, annotations=_TEXTS), spec=_SERVICE)
_HEAD = _fields(
    template=_TEMPLATE,
    rayStartParams=_ANY,
    labels=_TEXTS,
    serviceType=_TEXT,
    enableIngress=_SWITCH,
    headService=_OBJECT,
)
_WORKER = _fields(
    template=_TEMPLATE, rayStartParams=_ANY, labels=_TEXTS, groupName=_TEXT, replicas=_NUMBER, minReplicas=_NUMBER,
    maxReplicas=_NUMBER, idleTimeoutSeconds=_NUMBER,
)  # fmt: skip
_KEPT = _fields(ingressRules=_RULES)
_CLUSTER = _fields(
    rayVersion=_TEXT,
    headGroupSpec=_HEAD,
    workerGroupSpecs=_list(_WORKER),
    enableInTreeAutoscaling=_SWITCH,
    autoscalerOptions=_fields(idleTimeoutSeconds=_NUMBER, securityContext=_SECURITY),
    authOptions=_fields(mode=_TEXT),
    headServiceAnnotations=_TEXTS,
    networkPolicy=_fields(mode=_TEXT, head=_KEPT, worker=_KEPT, workerGroups=_list(_KEPT)),
)
_JOB = _fields(
    rayClusterSpec=_CLUSTER, submitterPodTemplate=_TEMPLATE, clusterSelector=_TEXTS, shutdownAfterJobFinishes=_SWITCH
)
_SPECS = {
    "RayCluster": _CLUSTER,
    "RayJob": _JOB,
    "RayService": _fields(rayClusterConfig=_CLUSTER, serveService=_OBJECT),
    "RayCronJob": _fields(jobTemplate=_JOB),
    "NetworkPolicy": _fields(podSelector=_SELECTOR, policyTypes=_list(_TEXT), ingress=_RULES),
    "Service": _SERVICE,
}


def misshapen(values: dict[str, Any], kind: str) -> Found:
    """What in an object has another shape than Kubernetes takes: a word for a number, a text for a list."""
    import jsonschema

    shape = _fields(
        metadata=_fields(name=_TEXT, namespace=_TEXT, labels=_TEXTS, annotations=_TEXTS), spec=_SPECS.get(kind, _ANY)
    )
    for error in jsonschema.Draft7Validator(shape).iter_errors(values):
        place: Place = tuple(error.absolute_path)
        written = repr(error.instance)
        written = written if len(written) <= 60 else f"{written[:60]}…"
        mend = (
            f"write {_WORDS[error.validator_value]}" if error.validator == "type" else "write matchLabels: {KEY: VALUE}"
        )
        yield place, f"{'.'.join(map(str, place))} is {written}", mend


_WORDS = {
    "string": "a text (in quotes, where it looks like a number)",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "keys and values",
    "array": "a list",
}


def without_blanks(values: Any) -> Any:
    """The values as Kubernetes takes them: a key with nothing behind it is a key that was left out."""
    if isinstance(values, dict):
        return {key: without_blanks(inner) for key, inner in values.items() if inner is not None}
    return [without_blanks(inner) for inner in values] if isinstance(values, list) else values
