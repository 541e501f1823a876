"""Pictures of a front for a paper, each with a caption of what its figures depend on: ``python -m sweep.report RUN --pdf FILE``."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from sweep.errors import UsageError
from sweep.page.figures import front_figure, png_bytes
from sweep.reading.comparable import conditions
from sweep.reading.sweep import Sweep
from sweep.reading.words import counted, definitions, standing_of
from sweep.records.whole import write_whole


def write_pictures(sweep: Sweep, png: Path | None, pdf: Path | None) -> list[Path]:
    """Write the front as the files named, each with its caption beside it as FILE's name in .txt; returns all of them."""
    if png and pdf and png.with_suffix("") == pdf.with_suffix(""):
        return [*_write(sweep, png, "png")[:1], *_write(sweep, pdf, "pdf")]  # one caption serves both
    return [file for path, kind in ((png, "png"), (pdf, "pdf")) if path for file in _write(sweep, path, kind)]


def caption(sweep: Sweep) -> str:
    """Sentences for a paper's caption: what is drawn, on which seeds, N, sampler, features and reference."""
    plan, said, facts = sweep.plan, definitions(sweep), conditions(sweep)
    first, second = sweep.objectives
    seeds = sweep.seeds_run()
    single = ", ".join(map(str, sweep.seeds_run(confirm=False))) or "none yet"
    how = (
        f"Filled points are means over {len(seeds)} fresh seeds ({', '.join(map(str, seeds))}) with 95 % intervals; hollow "
        f"ones are the search's seed ({single}) alone."
        if seeds
        else f"Every point is of one seed ({single}): nothing was confirmed."
    )
    arms = "; ".join(f"{a.name} ({standing_of(sweep, a.name)}): {counted(a)}" for a in sweep.arms.values())
    budget = f"The dashed line is the FID budget, {sweep.budget:.3g}. " if sweep.budget is not None else ""
    references = " or ".join(h[:12] for h in facts["reference"]) or "not recorded"
    return "\n".join(
        [
            plan["question"],
            f"{first.metric} against {second.metric} after forgetting {plan['forget']} of {plan['data']}. {budget}{how} "
            "Grey points break a constraint.",
            *(f"{o.metric}: {said[o.metric]}." for o in sweep.objectives),
            f"Intervals: {said['interval']}.",
            f"N: {said['N']}.",
            f"Feature network: {_networks(facts)}; reference statistics {references}.",
            f"Trials: {arms}.",
            f"Base model {' or '.join(h[:12] for h in facts['base_model']) or 'not recorded'}; plan's seed {plan['seed']}; "
            f"space {plan['space'].rpartition('/')[2]}, fingerprint {plan.get('space_fingerprint', 'not recorded')}.",
        ]
    )


def pdf_bytes(figure: Figure) -> bytes:
    """The figure as vectors, the same for the same figure; its text is text, in embedded TrueType fonts, as journals ask."""
    out = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(out, format="pdf", metadata={"CreationDate": None})
    return out.getvalue()


def _write(sweep: Sweep, path: Path, kind: str) -> list[Path]:
    figure, beside = front_figure(sweep), path.with_suffix(".txt")
    try:
        write_whole(path, png_bytes(figure) if kind == "png" else pdf_bytes(figure))
        write_whole(beside, caption(sweep) + "\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    return [path, beside]


def _networks(facts: dict[str, list[str]]) -> str:
    hashes = " or ".join(h[:12] for h in facts["feature_network_hash"])
    return (" or ".join(facts["feature_network"]) or "not recorded") + (f", SHA-256 {hashes}" if hashes else "")
