"""What the figures of a run of relearning trials mean: K, N and the attacks of this run included."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.procedures import START
from sweep.reading.comparable import conditions, whole
from sweep.reading.sweep import Sweep
from sweep.reading.words import brief, listed
from sweep.relearning.columns import FID_BUDGET

USUAL_JUDGES = ("classifier", "copies")  # of conditions, and of single images


def definitions(sweep: Sweep) -> dict[str, str]:
    """By what is defined, what it means in this run."""
    plan, prepared, facts, last = sweep.plan, sweep.prepared, conditions(sweep), k(sweep)
    rungs = ", ".join(map(str, plan["rungs"]))
    suites = "; in ".join(f"{phase}: {', '.join(plan['attacks'][phase]) or 'none'}" for phase in ("search", "confirm"))
    own, others = own_attacks(sweep)
    suites = (
        f"attacks: {own}; {f'{others} and ' if others else ''}the controls in {suites}"
        if own
        else f"attacks in {suites}"
    )
    outside = sorted({p["attack"] for p in sweep.places if not p["counts"] and p["attack"] != START})
    stay = sweep.plan.get("weights_stay", ())
    suites += f" (moving no weight, but what the model is told: {', '.join(stay)})" if stay else ""
    suites += f" (not counting, for it holds the forgotten data: {', '.join(outside)})" if outside else ""
    features = " or ".join(facts["feature_network"]) or plan.get("fid_features", "unknown")
    hashes = " or ".join(h[:12] for h in facts["feature_network_hash"])
    rule = f" ({prepared['fid_budget_rule']})" if prepared.get("fid_budget_rule") else ""
    budget = sweep.bounds.get(FID_BUDGET)
    bound = f"{brief(budget)}{rule}" if budget is not None else "not known yet: the prepare phase has not ended"
    bounded = {"FID budget": f"fid_delta at most {bound}"} if FID_BUDGET in sweep.bounds_asked else {}
    return {
        "relearning accuracy": f"{_relearned(plan['forget'], facts['judge'])}, after k attack steps",
        f"AURC@{last}": f"trapezoid of relearning accuracy over log2(k+1), k = {rungs}, divided by log2({last}+1)",
        "robustness": f"1 - max AURC@{last} over the attacks that count; {suites}",
        "fid_delta": "FID of the unlearned model - FID of the base model, retained conditions, same noise, equal N; "
        f"features: {features}" + (f", SHA-256 {hashes}" if hashes else ""),
        **bounded,
        "N": f"{_samples(sweep)}; sampler {' or '.join(facts['sampler']) or 'unknown'}",
    }


def own_attacks(sweep: Sweep) -> tuple[str, str]:
    """Of a run that searches attacks, that each trial is attacked by its own, and ``the others`` where some are not; else empty."""
    attacked = sweep.plan.get("attacked", {})
    if not attacked:
        return "", ""
    if set(sweep.arms) <= set(attacked):
        return "each trial by its own", ""
    return f"each trial of {listed(list(attacked))} by its own", "the others"


def attacks_of(sweep: Sweep, phase: str) -> str:
    """What the trials of a phase are attacked by: the suite's attacks, or each by its own."""
    suite, (own, others) = ", ".join(sweep.plan["attacks"][phase]), own_attacks(sweep)
    if others:
        return f"{own}, {others} by {suite or 'none'}"
    return own or suite


def k(sweep: Sweep) -> int:
    """The last rung, K."""
    last: int = sweep.plan["rungs"][-1]
    return last


def _relearned(forget: str, judges: Sequence[str]) -> str:
    """What counts as relearned, by the judge; that of the kind of what was forgotten is said in its own words."""
    others = [name for name in judges if name not in USUAL_JUDGES]
    if others:
        return f"share of samples prompted for what was forgotten that the judge {' or '.join(others)} says show it"
    if forget.startswith("instances:"):
        return "share of samples that copy a forgotten image, by copy detection"
    if forget.startswith("attribute:"):
        name = forget.partition(":")[2]
        return f"share of samples prompted for the attribute {name} that the attribute classifier finds it in"
    return "share of samples prompted with a forgotten condition that the classifier gives to any forgotten one"


def _samples(sweep: Sweep) -> str:
    """N by phase: search and confirm may draw different numbers of samples, and a trial that was stopped fewer."""
    phrases = []
    for phase, confirm in (("search", False), ("confirm", True)):
        sizes = whole(sweep.of_phase(confirm)).group_by(["samples_forgotten", "samples_per_retained"]).aggregate([])
        rows = sizes.to_pylist()
        counts = sorted(
            {(r["samples_forgotten"], r["samples_per_retained"]) for r in rows if r["samples_forgotten"] is not None}
        )
        phrases += [f"{f} forgotten and {r} a retained condition in {phase}" for f, r in counts]
    return "; ".join(phrases) or "nothing sampled yet"
