"""What the figures of a run are called and mean, in the words that the terminal, the page and every export share."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.reading.arm import ArmFront
from sweep.reading.arm_against_arm import Difference
from sweep.reading.best import corner
from sweep.reading.comparable import conditions
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.records import COMPLETE, FAIL, PRUNED, audit_names, fact
from sweep.space import Objective
from sweep.statistics.estimates import Estimate

SHOWN = ("robustness", "fid_delta", "unlearning_accuracy", "retain_accuracy")
QUALITY = ("fid", "kid", "precision", "recall", "attacked_retain_accuracy", "attacked_fid_delta")


def cell(text: str) -> str:
    """Text that cannot end a table's cell of Markdown, or start markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ").replace("*", "\\*")


def listed(names: Sequence[str], most: int = 6) -> str:
    """``a, b and c``; of very many the first, and how many others there are."""
    shown = list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} others"]
    return " and ".join([*([", ".join(shown[:-1])] if shown[1:] else []), *shown[-1:]])


def shown(sweep: Sweep) -> list[str]:
    """The figures of a member that every table has: the objectives first."""
    return list(dict.fromkeys([*(o.metric for o in sweep.objectives), *SHOWN]))


def meaning(sweep: Sweep, metric: str) -> str:
    """What a figure is, from its column, with this run's K."""
    return fact(metric, "description").replace("@K", f"@{sweep.rungs[-1]}")


def axis(sweep: Sweep, objective: Objective, brief: bool = False) -> str:
    """What an axis of the front says: the figure, what it is, and which way is better."""
    better = f"({'higher' if objective.direction == 'maximise' else 'lower'} is better)"
    what = "" if brief else f" = {meaning(sweep, objective.metric).partition(';')[0]}"
    return f"{objective.metric}{what}  {better}"


def standing_of(sweep: Sweep, name: str) -> str:
    """What an arm is to its question, in words."""
    methods = [a for a, arm in sweep.arms.items() if not arm.baseline]
    if name not in methods:
        return "baseline"
    return "the question's method" if len(methods) == 1 else f"one of {len(methods)} arms"


def definitions(sweep: Sweep) -> dict[str, str]:
    """What each figure means in this run, K, N and seeds included: printed wherever its figures are."""
    plan, prepared, facts = sweep.plan, sweep.prepared, conditions(sweep)
    k, rungs = sweep.rungs[-1], ", ".join(map(str, sweep.rungs))
    suites = "; in ".join(f"{phase}: {', '.join(plan['attacks'][phase])}" for phase in ("search", "confirm"))
    outside = sorted({attack for attack, _, _, counts in sweep.attacked if not counts and attack != "none"})
    suites += f" (not counting, for it holds the forgotten data: {', '.join(outside)})" if outside else ""
    features = " or ".join(facts["feature_network"]) or plan.get("fid_features", "unknown")
    hashes = " or ".join(h[:12] for h in facts["feature_network_hash"])
    rule = f" ({prepared['fid_budget_rule']})" if prepared.get("fid_budget_rule") else ""
    budget = (
        f"{sweep.budget:.3g}{rule}" if sweep.budget is not None else "not known yet: the prepare phase has not ended"
    )
    told = {
        "relearning accuracy": f"{_relearned(plan['forget'])}, after k attack steps",
        f"AURC@{k}": f"trapezoid of relearning accuracy over log2(k+1), k = {rungs}, divided by log2({k}+1)",
        "robustness": f"1 - max AURC@{k} over the attacks that count; attacks in {suites}",
        "fid_delta": "FID of the unlearned model - FID of the base model, retained conditions, same noise, equal N; "
        f"features: {features}" + (f", SHA-256 {hashes}" if hashes else ""),
        "FID budget": f"fid_delta at most {budget}",
        "N": f"{_samples(sweep)}; sampler {' or '.join(facts['sampler']) or 'unknown'}",
        "interval": "95 %, Student's t over the confirm seeds; of a share of samples, or of a difference of two, never narrower "
        "than Wilson's over the samples of all of them",
        "within": "probability that the mean over all seeds keeps the bound, given the confirmed ones: Student's t about "
        "their mean, of shares never surer than their samples allow",
        "seeds": f"search {_listed(sweep, False)}; confirm {_listed(sweep, True)}",
    }
    audited = [a for a in audit_names() if sweep.has(a)]
    for metric in (*(o.metric for o in sweep.objectives), *audited):
        told.setdefault(metric, meaning(sweep, metric))
    if "malicious_robustness" in told:
        told["malicious_robustness"] += (
            "; read it against the retrain control's, which never knew it: on one seed that is a constant, so the order "
            "of two models is that of their excess over it"
        )
    return told


def _relearned(forget: str) -> str:
    """What counts as relearned depends on what was forgotten: a condition, an attribute, or single images."""
    if forget.startswith("instances:"):
        return "share of samples that copy a forgotten image, by copy detection"
    if forget.startswith("attribute:"):
        name = forget.partition(":")[2]
        return f"share of samples prompted for the attribute {name} that the attribute classifier finds it in"
    return "share of samples prompted with a forgotten condition that the classifier gives to any forgotten one"


def _samples(sweep: Sweep) -> str:
    """N by phase: search and confirm may draw different numbers of samples."""
    told = []
    for phase, confirm in (("search", False), ("confirm", True)):
        found = sweep.of_phase(confirm).group_by(["samples_forgotten", "samples_per_retained"]).aggregate([])
        rows = found.to_pylist()
        counts = sorted(
            {(r["samples_forgotten"], r["samples_per_retained"]) for r in rows if r["samples_forgotten"] is not None}
        )
        told += [f"{f} forgotten and {r} a retained condition in {phase}" for f, r in counts]
    return "; ".join(told) or "nothing sampled yet"


def _listed(sweep: Sweep, confirm: bool) -> str:
    return ", ".join(map(str, sweep.seeds_run(confirm))) or "none yet"


def number(value: float | None) -> str:
    """Three significant digits below 1000, without a needless exponent; an em dash for nothing."""
    if value is None:
        return "—"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def interval(value: Estimate | None) -> str:
    """``0.912 [0.880, 0.944]``; without the brackets where one seed gives no interval."""
    if value is None:
        return "—"
    return number(value.mean) + ("" if value.lower is None else f" [{number(value.lower)}, {number(value.upper)}]")


def within(sweep: Sweep, trial: Trial) -> str:
    """``fid_delta ≤ 4.1 .93, unlearning_accuracy ≥ .9 .99``: how probable each constraint is; a dash unless confirmed."""
    told = []
    for constraint in sweep.constraints:
        if constraint.name in trial.within:
            sign = "≤" if constraint.side == "at_most" else "≥"
            told.append(f"{constraint.metric} {sign} {constraint.bound:.3g}: {trial.within[constraint.name]:.2f}")
    return ", ".join(told) or "—"


def settings(trial: Trial) -> str:
    """The member's parameters as ``name=value`` words."""
    return (
        " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in trial.parameters.items()) or "none"
    )


def counted(arm: ArmFront) -> str:
    """How the arm's trials ended, in words."""
    words = {COMPLETE: "complete", PRUNED: "stopped early", FAIL: "failed"}
    return (
        ", ".join(f"{n} {words.get(state, state.lower())}" for state, n in sorted(arm.counts.items()))
        or "no trials yet"
    )


def corner_text(sweep: Sweep) -> str:
    """``robustness 0 at the budget``: the point that hypervolumes are measured up to."""
    reference, (first, second) = corner(sweep), sweep.objectives
    if reference is None:
        return "no corner"
    at_budget = second.metric == "fid_delta" and reference[1] == sweep.budget
    end = "at the FID budget" if at_budget else f"and {second.metric} {number(reference[1])}"
    return f"{first.metric} {reference[0]:.3g} {end}"


def figure_name(row: Difference) -> str:
    """``robustness``, or ``unlearning after retain@31``; attacks that do not count say so."""
    if row.attack is None:
        return row.figure
    short = {"unlearning_accuracy": "unlearning", "retain_accuracy": "retain"}.get(row.figure, row.figure)
    when = "before any attack" if row.attack == "none" else f"after {row.attack}@{row.step}"
    return f"{short} {when}" + ("" if row.counts else " *")
