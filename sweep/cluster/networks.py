"""The networks that a cluster file lets in: which are your own, and how much of the internet the others are together."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# By these nobody comes from the internet: private use, shared (carrier's), loopback, link-local, and documentation's, which the
# shipped files write in place of yours. Python's `is_private` looks at a network's two ends alone, and takes 0.0.0.0/0 for one.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
                 "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "fc00::/7", "fe80::/10", "::1/128", "2001:db8::/32")
)  # fmt: skip
WIDEST = {4: 16, 6: 32}
"""The shortest prefix of what may be let in from the internet, by IP version: what one organisation has, not a region or a cloud.
Several networks are held to it together, so that the halves of the internet are no way in either."""

_WRITTEN = re.compile(
    r"(?<![\w.:/])((?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]*:[0-9a-fA-F:.]*)/(\d{1,3}(?:\.\d{1,3}){0,3})(?![\w/])"
)


def networks(text: str) -> Iterator[Network]:
    """Every network that a text names, such as 203.0.113.0/24."""
    for address, mask in _WRITTEN.findall(text):
        try:
            yield ipaddress.ip_network(f"{address}/{mask}", strict=False)
        except ValueError:  # it only looks like one: 10.0.0.1/64, a time, a path
            continue


def too_wide(named: Iterable[Network]) -> set[Network]:
    """Those of the networks that let in more of the internet than one organisation, alone or together."""
    public = {network for network in named if not _own(network)}
    wide: set[Network] = set()
    for version, prefix in WIDEST.items():
        of_version = [network for network in public if network.version == version]
        collapsed = ipaddress.collapse_addresses(of_version)  # type: ignore[type-var]  # all of one version
        most = 1 << ((32 if version == 4 else 128) - prefix)
        if sum(network.num_addresses for network in collapsed) > most:
            alone = {network for network in of_version if network.num_addresses > most}
            wide |= alone or set(of_version)
    return wide


def wide_for_pods(network: Network) -> bool:
    """Whether a network, private or not, may hold all the pods of a Kubernetes cluster: 10.0.0.0/8 does."""
    return network.prefixlen < WIDEST[network.version]


def _own(network: Network) -> bool:
    return any(network.version == private.version and network.subnet_of(private) for private in _NOT_PUBLIC)  # type: ignore[arg-type]
