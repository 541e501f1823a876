"""Pictures for a paper: vectors with embedded TrueType fonts, pixels, and a caption that tells what the figures depend on."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recorded_run import write_run

from sweep import records, report
from sweep.page.caption import caption
from sweep.page.figures import front_figure, png_bytes
from sweep.reading.sweep import read_sweep


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("recorded") / "run", artifacts=False)


def test_the_pdf_is_vectors_with_embedded_truetype_fonts_and_the_same_every_time(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (tmp_path / name for name in ("front.pdf", "again.pdf"))
    for file in (first, second):
        assert report.main([str(run), "--pdf", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [str(first), str(tmp_path / "front.txt")]
    pdf = first.read_bytes()
    assert pdf == second.read_bytes() and pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf, "TrueType, not the bitmaps that journals refuse"
    assert b"/Subtype /Image" not in pdf, "nothing of it is pixels"
    drawn = b"".join(_streams(pdf))
    assert drawn.count(b" l\n") > 50 and drawn.count(b"Tj") + drawn.count(b"TJ") > 20, "lines, and text that is text"
    assert not (run / "report.html").exists()


def _streams(pdf: bytes) -> list[bytes]:
    """What the file's compressed streams hold."""
    found = []
    for part in pdf.split(b"stream\n")[1:]:
        try:
            found.append(zlib.decompressobj().decompress(part))
        except zlib.error:
            continue  # what follows an "endstream"
    return found


def test_the_png_is_the_runs_plot_and_one_caption_serves_both(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(run), "--png", str(tmp_path / "f.png"), "--pdf", str(tmp_path / "f.pdf")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"f.{end}") for end in ("png", "pdf", "txt")]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["f.pdf", "f.png", "f.txt"]
    assert np.asarray(Image.open(tmp_path / "f.png")).shape[:2] == (810, 1200)
    assert (tmp_path / "f.txt").read_text() == caption(read_sweep(run)) + "\n"


def test_the_caption_tells_what_the_figures_depend_on(run: Path) -> None:
    said = caption(read_sweep(run))
    for fact in (
        "robustness against fid_delta after forgetting 3 of digits",
        "means over 3 fresh seeds (101, 102, 103) with 95 % intervals",
        "the search's seed (7) alone",
        "FID budget, 4",
        "100 forgotten and 50 a retained condition in confirm; sampler ddim-20",
        "Feature network: classifier, SHA-256 abababababab; reference statistics cdcdcdcdcdcd",
        "Base model efefefefefef; plan's seed 7; space recorded, fingerprint",
        "label_swap (baseline): 3 complete, 1 stopped early",
    ):
        assert fact in said, fact


def test_a_run_that_confirmed_nothing_does_not_claim_seeds(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    for file in (run / "records" / "replicates").glob("*-r[123].parquet"):
        file.unlink()
    said = caption(read_sweep(run))
    assert "Every point is of one seed (7): nothing was confirmed" in said and "fresh seeds" not in said


def test_a_dollar_sign_in_a_name_is_a_dollar_sign(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    plan = records.read_json(run / "plan.json")
    (run / "plan.json").write_text(json.dumps(plan | {"space": r"half $\frac{1$ off"}))
    picture = png_bytes(front_figure(read_sweep(run)))
    assert Image.open(io.BytesIO(picture)).size[0] == 1200


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["{run}", "{run}", "--pdf", "x.pdf"], "are of one run"),
        (["{run}", "--png", "{run}/no/such/folder.png"], "no/such/folder.png: cannot be written: No such file"),
        (["{run}/nowhere", "--pdf", "x.pdf"], "does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    run: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert report.main([a.format(run=run) for a in args]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
