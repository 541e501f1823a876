"""What the tables of federated trials hold beside every procedure's: figures of rows, privacy and audits, parties and rounds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pyarrow as pa

from sweep.procedures import Columns, Counts, Row, column
from sweep.procedures.columns import WORD, figures_of
from sweep.space.find import family_folder

# Bounds that the prepare phase finds.
WANTED_EPSILON = "wanted_epsilon"
BLIND_FD, SHUFFLED_FD = "blind_fd", "shuffled_fd"
BLIND_PARTY_FD = "blind_party_fd"

ALL = "all"  # the series of whole rows among those of parties
SYNTHETIC = "synthetic"  # the kind of samples that shares are of

_COMPARED, _ARTIFACT, _TOLD = {"compares": "must"}, {"artifact": "yes"}, {"compares": "told"}
_DEPENDENCIES = (
    column("synthetic_rows", pa.int32(), "N of synthetic rows", "rows", **_COMPARED),
    column("split", WORD, "how columns are divided among parties", **_COMPARED),
    column(
        "canaries", pa.int32(), "rows of the pool whose coins decide whether they are trained on", "rows", **_COMPARED
    ),
    column("delta", pa.float64(), "δ that epsilon is at", **_COMPARED),
    column("feature_network", WORD, "what Fréchet distances are taken in", **_COMPARED),
    column("reference", pa.string(), "artifact key of public rows' statistics", **_COMPARED, **_ARTIFACT),
    column("mechanism", WORD, "how critics' gradients are made of real rows; null of real rows themselves", **_TOLD),
    column("accountant", WORD, "who gave ε, of which version", **_TOLD),
    column("synthesizer", pa.string(), "artifact key of the trained synthesizer", **_ARTIFACT),
    column("synthetic", pa.string(), "artifact key of the synthetic rows", **_ARTIFACT),
    column("score", pa.string(), "artifact key of the score, some images included", **_ARTIFACT),
)
_AXES = (
    column("party", WORD, f"whose columns the distance is of; {ALL!r} of whole rows"),
    column("round", pa.int32(), "critic steps so far, in each of which parties and server exchange once", "steps"),
)
_ACTIVITIES = (
    column("training_s", pa.float64(), "of wall_s: critic and generator steps", "seconds"),
    column("sampling_s", pa.float64(), "of wall_s: synthesising rows", "seconds"),
    column("scoring_s", pa.float64(), "of wall_s: distances, correlations, classifiers", "seconds"),
    column("auditing_s", pa.float64(), "of wall_s: membership scores and bounds", "seconds"),
)
SHOWN = {
    "fd": "fd",
    "epsilon": "ε",
    "audited_epsilon": "audited ε ≥",
    "dependence_error": "dependence",
    "utility_gap": "utility gap",
}
QUALITY = (
    "party_fd",
    "within_error",
    "cross_agreement",
    "synthetic_accuracy",
    "fd_private",
    "training_s",
    "training_memory",
)
PRIVACY = (
    "epsilon", "claimed_epsilon", "noise_multiplier", "audited_epsilon_published", "audited_epsilon_critics", "audit_ceiling",
    "membership_auc_published", "membership_auc_critics",
)  # fmt: skip


@cache
def columns() -> Columns:
    """The columns of federated trials."""
    return Columns(
        tuple(figures_of([family_folder("federated") / "outcomes.py"])),
        _DEPENDENCIES,
        _AXES,
        "party",
        "round",
        _ACTIVITIES,
        shown=SHOWN,
        quality=QUALITY,
    )


def counts_of(replicates: Iterable[Row], curves: Iterable[Row]) -> Counts:
    """N of a replicate's synthetic rows."""
    return {(row["trial_id"], row["replicate"]): {SYNTHETIC: row["synthetic_rows"] or 0} for row in replicates}
