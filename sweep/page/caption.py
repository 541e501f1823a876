"""Pictures of a front for a paper, each with a caption of what its figures depend on: ``python -m sweep.report RUN --pdf FILE``."""

from __future__ import annotations

from pathlib import Path

from sweep.errors import UsageError
from sweep.page.figures import front_figure, pdf_bytes, png_bytes
from sweep.reading.sweep import Sweep
from sweep.reading.words import counted, definitions, listed, seeds_behind, standing_of
from sweep.records.whole import write_whole


def write_pictures(sweep: Sweep, png: Path | None, pdf: Path | None) -> list[Path]:
    """Write the front as the files named, each with its caption beside it as FILE's name in .txt; returns all of them."""
    if png and pdf and png.with_suffix("") == pdf.with_suffix(""):
        return [*_write(sweep, png, "png")[:1], *_write(sweep, pdf, "pdf")]  # one caption serves both
    return [file for path, kind in ((png, "png"), (pdf, "pdf")) if path for file in _write(sweep, path, kind)]


def caption(sweep: Sweep) -> str:
    """Sentences for a paper's caption: what is drawn, on which seeds, and what its figures depend on."""
    plan, said, of = sweep.plan, definitions(sweep), sweep.procedure.panels().caption(sweep)
    metrics = [o.metric for o in sweep.objectives]
    against = {1: f"{metrics[0]} of every trial, in the order in which they ended", 2: " against ".join(metrics)}
    axes = against.get(len(metrics), f"{listed(metrics)}, two by two,")
    seeds, trials = sweep.seeds_run(), [trial for arm in sweep.arms.values() for trial in arm.confirmed_members]
    single = ", ".join(map(str, sweep.seeds_run(confirm=False))) or "none yet"
    how = (
        f"Filled points are means over {seeds_behind(sweep, trials)} ({', '.join(map(str, seeds))}) with 95 % intervals; hollow "
        f"ones are the search's seed ({single}) alone."
        if any(arm.confirmed for arm in sweep.arms.values())
        else f"Every point is of one seed ({single}): nothing was confirmed."
    )
    arms = "; ".join(f"{a.name} ({standing_of(sweep, a.name)}): {counted(a)}" for a in sweep.arms.values())
    drawn = " ".join(filter(None, (axes, of.subject)))
    words = " ".join(filter(None, (f"{drawn}.", of.lines, how, "Grey points break a constraint.")))
    origin = f"{of.origin}; plan's" if of.origin else "Plan's"
    return "\n".join(
        [
            plan["question"],
            words,
            *(f"{o.metric}: {said[o.metric]}." for o in sweep.objectives),
            f"Intervals: {said['interval']}.",
            *of.facts,
            f"Trials: {arms}.",
            f"{origin} seed {plan['seed']}; space {sweep.space_name}, fingerprint "
            f"{plan.get('space_fingerprint', 'not recorded')}.",
        ]
    )


def _write(sweep: Sweep, path: Path, kind: str) -> list[Path]:
    figure, beside = front_figure(sweep), path.with_suffix(".txt")
    try:
        write_whole(path, png_bytes(figure) if kind == "png" else pdf_bytes(figure))
        write_whole(beside, caption(sweep) + "\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    return [path, beside]
