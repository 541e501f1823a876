"""NetworkPolicies of a manifest: which pods they keep, and whether whom they let in is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep.cluster import networks
from sweep.cluster.files import Document, Place
from sweep.cluster.finding import Found

Labels = dict[str, str]
_SPEC = {"podSelector", "policyTypes", "ingress", "egress"}
_MEND = "name whom it lets in by labels: from: [{podSelector: {matchLabels: {ray.io/cluster: …}}}]"


def keeps(policy: dict[str, Any], labels: Labels, namespace: str) -> bool:
    """Whether a policy keeps strangers from pods with these labels, but for those that its rules let in."""
    spec = policy.get("spec") or {}
    types = spec.get("policyTypes") or ["Ingress"]
    there = str((policy.get("metadata") or {}).get("namespace") or "default")
    return there == namespace and "Ingress" in types and _selects(spec.get("podSelector") or {}, labels)


def open_rules(spec: dict[str, Any], place: Place) -> Found:
    """What in a policy lets in whom it does not name. Policies add up: one is enough, whatever the others say."""
    for key in sorted(spec.keys() - _SPEC, key=str):
        yield (*place, key), f"{key}: no field of a NetworkPolicy that is understood here", "leave it out"
    yield from rules(spec.get("ingress") or [], (*place, "ingress"))


def rules(ingress: Sequence[dict[str, Any]], place: Place) -> Found:
    """As `open_rules`, of a list of ingress rules."""
    blocks: list[tuple[Place, str]] = []
    for i, rule in enumerate(ingress):
        peers = rule.get("from") or []
        if not peers or rule.keys() - {"from", "ports"}:
            yield (*place, i), "a rule that lets everybody in", _MEND
        for j, peer in enumerate(peers):
            inner = (*place, i, "from", j)
            if set(peer) == {"ipBlock"}:
                blocks.append((inner, str((peer["ipBlock"] or {}).get("cidr", ""))))
            elif not _named(peer):
                yield inner, "a source that names no labels: every pod has a way in", _MEND
    named = [network for _, text in blocks for network in networks.networks(text)]
    wide = networks.too_wide(named)
    for inner, text in blocks:
        of_block = list(networks.networks(text))
        if not of_block or wide & set(of_block) or any(map(networks.wide_for_pods, of_block)):
            what = f"ipBlock {text or 'without a cidr'} lets in the internet, or every pod"
            yield inner, what, "name your own network, and a narrower one"


def _named(peer: dict[str, Any]) -> bool:
    """Whether a peer names its pods, or the namespace that they are in, by labels."""
    if set(peer) - {"podSelector", "namespaceSelector"}:
        return False
    if "namespaceSelector" in peer:
        return _says(peer["namespaceSelector"])
    return _says(peer.get("podSelector"))


def _says(selector: Any) -> bool:
    selector = selector or {}
    within = [e for e in selector.get("matchExpressions") or [] if e.get("operator") == "In" and e.get("values")]
    return bool(selector.get("matchLabels") or within)


def _selects(selector: dict[str, Any], labels: Labels) -> bool:
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        has, values = labels.get(str(expression.get("key"))), expression.get("values") or []
        fits = {
            "In": has in values,
            "NotIn": has not in values,
            "Exists": has is not None,
            "DoesNotExist": has is None,
        }
        if not fits.get(str(expression.get("operator")), False):
            return False
    return True


def pod_labels(document: Document, group: dict[str, Any], head: bool) -> Labels:
    """The labels of a group's pods: the template's, and those that KubeRay gives (its `labelPod`).

    What RayJob calls its cluster is not known before it is there.
    """
    written = dict(((group.get("template") or {}).get("metadata") or {}).get("labels") or {}) | (
        group.get("labels") or {}
    )
    written.pop("ray.io/cluster", None)  # KubeRay overwrites it
    fixed = {
        "ray.io/node-type": "head" if head else "worker",
        "ray.io/group": "headgroup" if head else str(group.get("groupName", "")),
    }
    if document.values["kind"] == "RayCluster":
        fixed["ray.io/cluster"] = str((document.values.get("metadata") or {}).get("name", ""))
    given = {
        "ray.io/is-ray-node": "yes",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    return {**given, **{str(k): str(v) for k, v in written.items()}, **fixed}
