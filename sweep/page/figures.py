"""Figures for paper and page, and their bytes: the front, the curves of the best, grids of samples."""

from __future__ import annotations

import io

import matplotlib
from matplotlib.figure import Figure

from sweep.page.curves import SHOWN_CURVES, curves_figure
from sweep.page.front import LABELLED, front_figure
from sweep.page.grids import image_grid
from sweep.page.marks import CONTROL_MARKS, MARKS, marks

__all__ = [
    "CONTROL_MARKS", "LABELLED", "MARKS", "SHOWN_CURVES", "curves_figure", "front_figure", "image_grid", "marks", "pdf_bytes",
    "png_bytes",
]  # fmt: skip


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes, the same for the same figure: no date is written into it."""
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def pdf_bytes(figure: Figure) -> bytes:
    """The figure as vectors, the same for the same figure; its text is text, in embedded TrueType fonts, as journals ask."""
    out = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(out, format="pdf", metadata={"CreationDate": None})
    return out.getvalue()
