"""What the card of an exported model says of its run: how it was measured and attacked, each figure with what it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import interval, meaning, number
from sweep.records.names import BASE, RETRAIN
from sweep.space import CONTROL

Row = Mapping[str, Any]

_ATTACKED = (
    "relearning_accuracy",
    "retain_accuracy",
    "fid",
)  # of an attack's rungs; the others stay in the run's tables


def metadata(sweep: Sweep, trial: Trial, replicate: int, pipeline: str) -> str:
    """The card's front matter, as the Hugging Face Hub reads it, between its two lines of dashes."""
    row, name = _row(sweep, trial, replicate), f"{sweep.plan['data']}-{trial.trial_id}"
    task = "text-to-image" if pipeline.startswith("StableDiffusion") else "unconditional-image-generation"
    results = [
        EvalResult(
            task_type=task,
            dataset_type=sweep.plan["data"],
            dataset_name=sweep.plan["data"],
            metric_type=o.metric,
            metric_value=row[o.metric],
            metric_name=meaning(sweep, o.metric),
        )
        for o in sweep.objectives
        if row.get(o.metric) is not None and trial.arm != CONTROL
    ]
    unlearning = [] if trial.arm == CONTROL else ["machine-unlearning", f"unlearned-by-{trial.method}"]
    card_data = ModelCardData(
        library_name="diffusers",
        license="unknown",
        pipeline_tag=task,
        tags=["diffusion", pipeline, *unlearning],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return f"---\n{card_data.to_yaml()}\n---\n"


def measured(sweep: Sweep, trial: Trial, replicate: int) -> str:
    """Sections of the card: how it was measured, how attacked, over which seeds, its licence and its limits."""
    row = _row(sweep, trial, replicate)
    curves = [c for c in sweep.curves_of(trial.trial_id) if c["replicate"] == replicate]
    parts = [*_conditions(row), *_figures(sweep, row, curves), *_attacks(sweep, trial, replicate, curves)]
    return "\n".join([*parts, *_over_seeds(sweep, trial), *_limits(sweep, trial)]) + "\n"


def _row(sweep: Sweep, trial: Trial, replicate: int) -> Row:
    rows = [r for r in sweep.replicates if (r["trial_id"], r["replicate"]) == (trial.trial_id, replicate)]
    return rows[0]


def _conditions(row: Row) -> Iterator[str]:
    yield "## How it was measured\n"
    yield "Every figure of this model is of these weights, on:\n"
    facts = {
        "N": f"{row['samples_forgotten']} samples of what was forgotten, {row['samples_per_retained']} of each retained condition",
        "seed of training, attacks and samples": row["seed"],
        "sampler": row["sampler"],
        "feature network": f"{row['feature_network']}, SHA-256 {row['feature_network_hash']}",
        "reference statistics": row["reference"],
        "base model": row["base_model"],
        "code version": row["code_version"],
        "device": row["device"],
    }
    yield from _table(("", ""), [(name, value) for name, value in facts.items() if value is not None])


def _figures(sweep: Sweep, row: Row, curves: Sequence[Row]) -> Iterator[str]:
    """Each with the N it is over, which the curves know: of a figure of the attacks, that of one rung."""
    n = {c["metric"]: c["samples"] for c in curves if c["attack"] == "none"}
    rung = {c["metric"]: c["samples"] for c in curves if c["attack"] != "none"}
    yield "\n| figure | value | N | better | what it is |\n|---|---|---|---|---|"
    for name in sweep.columns.names:
        if row.get(name) is not None:
            attacked = name.removeprefix("attacked_")
            if name.endswith("robustness") or attacked != name:
                of = "relearning_accuracy" if name.endswith("robustness") else attacked.removesuffix("_delta")
                over = f"{rung[of]} a rung" if of in rung else "—"
            else:
                over = n.get(name) or n.get(name.partition("_")[0]) or "—"  # fid_delta is over what fid is
            better = {"maximise": "higher", "minimise": "lower"}.get(sweep.columns.fact(name, "direction"), "")
            yield _line(name, _number(row[name]), over, better, meaning(sweep, name))


def _attacks(sweep: Sweep, trial: Trial, replicate: int, curves: Sequence[Row]) -> Iterator[str]:
    """Every attack's settings, then its figures at every rung, the base model's and the control's beside them."""
    attacks = list(dict.fromkeys(c["attack"] for c in curves if c["attack"] != "none"))
    yield "\n## How it was attacked\n"
    if not attacks:
        yield "It was not attacked: nothing is known of its robustness."
        return
    yield (
        "Relearning accuracy is the share of samples prompted for what was forgotten that is judged to be it, after k attack "
        "steps; its interval is Wilson's, over the samples of one seed.\n"
    )
    for attack in attacks:
        counts = next(c["counts"] for c in curves if c["attack"] == attack)
        own = attack == trial.arm and attack in sweep.plan.get("attacked", {})  # the trial's own, which is searched
        given = trial.parameters if own else sweep.plan.get("attack_settings", {}).get(attack, {})
        settings = ", ".join(f"{k}={v}" for k, v in given.items())
        why = (
            ""
            if counts
            else "; its data hold what was forgotten, so it does not count: compare with the retrain control"
        )
        yield f"- **{_plain(attack)}**: {_plain(settings or 'its defaults')}{why}"
    yield "\n| attack | k | figure | value | 95 % | N | base model | retrain control |\n|---|---|---|---|---|---|---|---|"
    beside = [_points(sweep, control, replicate) for control in (BASE, RETRAIN)]
    order = {"none": -1} | {attack: i for i, attack in enumerate(attacks)}
    shown = [c for c in curves if c["metric"] in _ATTACKED and c["value"] is not None]
    for c in sorted(shown, key=lambda c: (order[c["attack"]], c["attack_step"], _ATTACKED.index(c["metric"]))):
        at = (c["attack"], c["attack_step"], c["metric"])
        ends = "" if c["lower"] is None else f"[{number(c['lower'])}, {number(c['upper'])}]"
        others = (number(points.get(at)) for points in beside)
        when = "before any" if c["attack"] == "none" else c["attack"]
        yield _line(when, c["attack_step"], c["metric"], number(c["value"]), ends, c["samples"], *others)


def _points(sweep: Sweep, control: str, replicate: int) -> dict[tuple[str, int, str], float]:
    if control not in sweep.controls:
        return {}
    curves = (c for c in sweep.curves_of(control) if c["replicate"] == replicate)
    return {(c["attack"], c["attack_step"], c["metric"]): c["value"] for c in curves}


def _over_seeds(sweep: Sweep, trial: Trial) -> Iterator[str]:
    """What other seeds of the same settings gave, so that one lucky model is not taken for its method."""
    yield "\n## Over seeds\n"
    if trial.confirmed is None:
        yield "These settings were run on one seed only, the one that chose them: expect another seed to do worse."
        return
    seeds = ", ".join(str(s) for s in sorted(sweep.seeds(trial.trial_id).values()))
    yield f"The same settings on fresh seeds {seeds}: mean [95 % interval over seeds].\n"
    yield from _table(("figure", "over seeds"), [(name, interval(e)) for name, e in trial.confirmed.items()])


def _limits(sweep: Sweep, trial: Trial) -> Iterator[str]:
    yield "\n## Licence and limits\n"
    yield (
        f"The weights are derived from the base model and from `{_plain(sweep.plan['data'])}`, and are under whatever licences "
        "these have: state them before you publish this model.\n"
    )
    if trial.arm != CONTROL:
        yield (
            "- Withstanding these attacks is no proof of having forgotten: another attack, more steps or data of what was "
            "forgotten may bring it back."
        )
    yield "- Accuracies are a classifier's judgement, and Fréchet distances of these features compare with no others."
    yield "- Figures compare only with those whose N, sampler, feature network, reference statistics and code agree."


def _table(head: tuple[str, str], rows: list[tuple[str, Any]]) -> Iterator[str]:
    yield f"| {head[0]} | {head[1]} |\n|---|---|"
    yield from (_line(*row) for row in rows)


def _line(*cells: Any) -> str:
    return "| " + " | ".join(_plain(str(cell)) for cell in cells) + " |"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else number(value)


def _plain(text: str) -> str:
    """Text that cannot end a table's cell or start markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("`", "'").replace("\n", " ").replace("*", "\\*")
