"""How large the page is and how soon it can be used: ``python benchmarks/page.py FOLDER``.

Synthetic runs in the real schema (see many_records.py), with sample grids in a real store: 16 images of each of two kinds per
grid, before the attack and after it, of the digits with noise upon them (8 pixels, grey), or, at 32 pixels in colour, the same
enlarged. Times in Chromium, from navigation until the page's script has drawn everything and listens, best and worst of five
in a browser that is new each time, and from a click on a point until its panel is there.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import time
from pathlib import Path

import many_records
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import sync_playwright
from sklearn.datasets import load_digits

from search_spaces.dimum_robustness import SPACE
from sweep.page import contents
from sweep.records import Writer, schemas
from sweep.records.files import compact
from trainables.store import Store

IMAGES = 16
CLICK = """async () => {
    const at = data.runs[0].trials.id.findIndex((id, i) => data.runs[0].trials.group[i] === GROUP.feasible);
    const began = performance.now();
    choose(0, data.runs[0].trials.id[at]);
    await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""


def write_run(run: Path, trials: int, pixels: int) -> None:
    """A compacted run; `pixels` 0: without samples."""
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    Writer(run, schemas(SPACE))
    tables = many_records.tables(trials)
    if pixels:
        tables |= with_samples(run, tables, pixels)
    for name, found in tables.items():
        pq.write_table(found, run / "records" / name / "written.parquet")
        compact(run / "records" / name)
    many_records.write_json(run)


def with_samples(run: Path, tables: dict[str, pa.Table], pixels: int) -> dict[str, pa.Table]:
    """The replicates with their scores' keys and the curves with those of the last rung, their samples stored."""
    store, rng = Store(run / "artifacts"), np.random.default_rng(0)
    digits = load_digits().images[:512, None].astype(np.float32) / 8 - 1
    if pixels > 8:
        digits = np.repeat(np.kron(digits, np.ones((1, 1, pixels // 8, pixels // 8), np.float32)), 3, axis=1)

    def stored(trial_id: str, replicate: int, stage: str) -> str:
        key = hashlib.sha256(f"{trial_id} {replicate} {stage}".encode()).hexdigest()
        images = digits[rng.integers(0, len(digits), (2, IMAGES))]
        noise = rng.normal(0, 0.1, images.shape)
        noisy = np.clip(images + noise, -1, 1).astype(np.float32)
        store.put(key, "score", {"trial": trial_id}, {"forgotten": noisy[0], "retained": noisy[1]})
        return key

    rows = tables["replicates"].select(["trial_id", "replicate"]).to_pylist()
    scores = [stored(r["trial_id"], r["replicate"], "score") for r in rows]
    curves = tables["curves"].select(["trial_id", "replicate", "attack_step", "metric"]).to_pylist()
    last = [r["attack_step"] == many_records.RUNGS[-1] and r["metric"] == "fid" for r in curves]
    ends = [
        stored(r["trial_id"], r["replicate"], "attacked") if end else None for r, end in zip(curves, last, strict=True)
    ]
    return {
        "replicates": replaced(tables["replicates"], "score", scores),
        "curves": replaced(tables["curves"], "artifact", ends),
    }


def replaced(table: pa.Table, name: str, values: list[str | None]) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


def interactive(page: Path, chromium: str) -> tuple[list[float], list[float], int]:
    """Milliseconds to interactive and of a click, five times each, and the samples that a panel of the first trial shows."""
    ready, clicks, samples = [], [], 0
    with sync_playwright() as playwright:
        for _ in range(5):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            opened = browser.new_page(viewport={"width": 1600, "height": 900})
            opened.goto(page.resolve().as_uri(), wait_until="commit")
            opened.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
            ready.append(float(opened.get_attribute("html", "data-ready") or "nan"))
            clicks.append(opened.evaluate(CLICK))
            samples = opened.evaluate("data.runs.reduce((n, run) => n + Object.keys(run.samples).length, 0)")
            browser.close()
    return ready, clicks, samples


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder", type=Path, help="a new folder for the runs")
    p.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    args = p.parse_args()
    print("| run | written in core s | page MB | models with samples | interactive ms, best – worst | click ms |")
    print("|---|---|---|---|---|---|", flush=True)
    for trials, pixels in ((200, 8), (200, 32), (2_000, 8), (20_000, 0)):
        run = args.folder / f"run-{trials}-{pixels}"
        write_run(run, trials, pixels)
        began = time.process_time()
        page = contents.write([run])
        took, size = time.process_time() - began, page.stat().st_size / 1e6
        ready, clicks, samples = interactive(page, args.chromium)
        grids = f"samples of {pixels} px" if pixels else "no samples"
        span = f"{min(ready):.0f} – {max(ready):.0f}"
        print(
            f"| {trials:,} trials, {grids} | {took:.1f} | {size:.2f} | {samples} | {span} | {statistics.median(clicks):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
