"""What is wrong with a cluster file, found before it costs money: every finding with its line and its mend."""

from __future__ import annotations

from sweep.cluster import kuberay_checks, launcher_checks, secrets
from sweep.cluster.files import ClusterFile
from sweep.cluster.finding import Finding
from sweep.errors import UsageError


def findings(file: ClusterFile) -> list[Finding]:
    """All that is wrong with the file, by line; empty where it may be used."""
    every: list[Finding] = []
    for document in file.documents:
        for place, line in document.repeated:
            name = ".".join(map(str, place))
            every.append(
                Finding(file.path, line, "repeated_key", f"{name} is written twice, and the last wins", "keep one")
            )
    checks = kuberay_checks.run(file) if file.kubernetes else launcher_checks.run(file)
    for name, document, (place, what, mend) in checks:
        every.append(Finding(file.path, document.line(*place), name, what, mend))
    found_at = {finding.line for finding in every if finding.check == "secret"}
    for line, text in file.comments:
        for sign in secrets.shapes(text) if line not in found_at else []:
            every.append(Finding(file.path, line, "secret", f"{sign} stands in a comment", secrets.MEND))
    return sorted(set(every))


def refuse(file: ClusterFile) -> None:
    """UsageError with the first finding, where there is one: nothing is sent to a cluster that should not be up."""
    if every := findings(file):
        more = f" (and {len(every) - 1} more: python -m sweep.cluster check {file.path})" if len(every) > 1 else ""
        raise UsageError(f"{every[0]}{more}")
