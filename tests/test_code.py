"""What every commit keeps: the import contract, types, style, and a README whose commands are real."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, TEXT

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "tool",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports", "--no-logo"],
    ],
    ids=["ruff check", "ruff format", "mypy", "import contract"],
)
def test_the_tree_passes(tool: list[str]) -> None:
    command = [str(Path(sys.executable).parent / tool[0]), *tool[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("trainables/diffusion.py", "import sweep.plan.plan"),
        ("sweep/plan/plan.py", "import search_spaces.dimum_robustness"),
        ("trainables/relearning/trial.py", "import ray"),
        ("trainables/store/store.py", "import optuna"),
        ("trainables/store/store.py", "from trainables import diffusion"),
        ("trainables/running/stopwatch.py", "from trainables.data import Images"),
        ("trainables/relearning/products/models.py", "from trainables.relearning.stages.score import judge"),
        ("sweep/space/question.py", "import torch"),
        ("sweep/records/files.py", "import sweep.reading.words"),
        ("sweep/views/curve_points.py", "import sweep.launch"),
        ("sweep/reading/words.py", "import matplotlib"),
        ("sweep/launch.py", "from ray import tune"),
    ],
)
def test_an_import_that_runs_upward_is_found_out(file: str, line: str, tmp_path: Path) -> None:
    """The contract can fail: each forbidden import is written into a copy of the tree."""
    for part in ("sweep", "trainables", "search_spaces"):
        subprocess.run(["cp", "-r", str(ROOT / part), str(tmp_path)], check=True)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode != 0 and "BROKEN" in done.stdout


# The layers of both packages and of the kind of trial, from the top: in each a file, and an import of the layer above it.
UPWARD = {
    "sweep/launch.py": "sweep.__main__",
    "sweep/driver/here.py": "sweep.launch",
    "sweep/views/plot_and_page.py": "sweep.driver.here",
    "sweep/page/render.py": "sweep.views.plot_and_page",
    "sweep/terminal/quiet.py": "sweep.page.render",
    "sweep/federated/cost.py": "sweep.relearning.cost",
    "sweep/plan/paths.py": "sweep.terminal.quiet",
    "sweep/samplers/encoding.py": "sweep.plan.paths",
    "sweep/records/whole.py": "sweep.samplers.encoding",
    "sweep/procedures/columns.py": "sweep.records.whole",
    "sweep/space/find.py": "sweep.procedures.columns",
    "sweep/statistics/ranks.py": "sweep.space.find",
    "trainables/relearning/trial.py": "trainables.trial",
    "trainables/needs/fisher.py": "trainables.relearning.experiment",
    "trainables/federated/audits/scores.py": "trainables.relearning.gate",
    "trainables/federated/shared_products.py": "trainables.federated.trial",
    "trainables/federated/stages/audit.py": "trainables.federated.shared_products",
    "trainables/federated/products/rows.py": "trainables.federated.stages.score",
    "trainables/federated/experiment.py": "trainables.federated.products.floors",
    "trainables/federated/recipes.py": "trainables.federated.experiment",
    "trainables/federated/figures/utility.py": "trainables.federated.recipes",
    "trainables/federated/tables/wine.py": "trainables.federated.parties",
    "trainables/federated/training.py": "trainables.federated.audits.scores",
    "trainables/federated/mechanisms/none.py": "trainables.federated.training",
    "trainables/federated/critics.py": "trainables.federated.synthesizers.vflgan",
    "trainables/federated/penalties.py": "trainables.federated.critics",
    "trainables/federated/parties.py": "trainables.federated.networks",
    "trainables/federated/encoding.py": "trainables.federated.parties",
    "trainables/federated/accounting.py": "trainables.federated.encoding",
    "trainables/unlearning/dimum.py": "trainables.needs.fisher",
    "trainables/metrics/kid.py": "trainables.audits.shadow",
    "trainables/features/classifier.py": "trainables.metrics.kid",
    "trainables/judges/copies.py": "trainables.features.classifier",
    "trainables/denoisers/sizes.py": "trainables.judges.copies",
    "trainables/fine_tuning.py": "trainables.denoisers.models",
    "trainables/diffusion.py": "trainables.fine_tuning",
    "trainables/sampling/sampler.py": "trainables.diffusion",
    "trainables/data/_class_names.py": "trainables.training.lora",
    "trainables/members.py": "trainables.data.digits",
    "trainables/running/report.py": "trainables.members",
    "trainables/store/patience.py": "trainables.registry",
    "trainables/relearning/shared_products.py": "trainables.relearning.export",
    "trainables/relearning/stages/glance.py": "trainables.relearning.shared_products",
    "trainables/relearning/products/images.py": "trainables.relearning.stages.glance",
    "trainables/relearning/origins/trained.py": "trainables.relearning.products.images",
    "trainables/relearning/diagnostics.py": "trainables.relearning.gate",
}


def test_in_every_layer_an_import_that_runs_upward_is_found_out(tmp_path: Path) -> None:
    """All are written into one copy of the tree, and each is told."""
    for part in ("sweep", "trainables", "search_spaces"):
        subprocess.run(["cp", "-r", str(ROOT / part), str(tmp_path)], check=True)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for file, module in UPWARD.items():
        with (tmp_path / file).open("a") as source:
            source.write(f"\nimport {module}\n")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)})
    planted = {(file.removesuffix(".py").replace("/", "."), module) for file, module in UPWARD.items()}
    assert done.returncode == 1
    assert planted <= set(re.findall(r"((?:sweep|trainables)[\w.]*) -> ((?:sweep|trainables)[\w.]*)", done.stdout))


def test_ci_runs_the_readmes_own_test_command() -> None:
    command = re.search(r"<!-- tests -->\n```bash\n(.+?)\n```", README, re.DOTALL)
    assert command and "-m pytest -n 2" in command[1] and "constraints.txt" in command[1]
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()


def test_every_flag_and_module_its_pages_name_exists() -> None:
    from sweep import launch
    from sweep.plan.asked import procedure_of
    from sweep.track import __main__ as track

    for module, parser in (("launch", launch.parser), ("track", track.parser)):
        for line in re.findall(rf"^.*python -m sweep\.{module}.*$", TEXT, re.MULTILINE):
            of_question = (procedure_of(line.split()),) if module == "launch" else ()
            flags = set(parser(*of_question).format_help().split())
            for flag in re.findall(r"--[a-z-]+", line):
                assert flag in flags, f"{flag} in: {line}"
    for module in set(re.findall(r"python -m (sweep\.\w+)", TEXT)):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_heading_a_page_links_to_exists(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#]*)(#[^)]+)?\)", page.read_text()):
        if target.startswith("https://arxiv.org/"):
            continue
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert heading[1:] in [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings], heading


def test_the_readmes_new_method_is_one_file_that_forgets_nothing_but_runs(tmp_path: Path) -> None:
    """The block is written into a copy of the tree and the method trained for two steps under its new name."""
    (block,) = re.findall(r"```python\n(# trainables/unlearning/(\w+)\.py.+?)```", README, re.DOTALL)
    subprocess.run(["cp", "-r", str(ROOT / "trainables"), str(tmp_path)], check=True)
    (tmp_path / "trainables" / "unlearning" / f"{block[1]}.py").write_text(block[0])
    code = """
import torch
from diffusers import UNet2DModel
from trainables.data import DATASETS
from trainables.training.device import Device
from trainables.diffusion import noise_schedule
from trainables.forgetting import parse_forget
from trainables.denoisers.recipes import BaseModel
from trainables.unlearning import METHODS, Problem
data = DATASETS["digits"]
three = parse_forget("3", data)
model, base = (UNet2DModel(**BaseModel(channels=(8, 8)).config(data)) for _ in range(2))
base.requires_grad_(False)
def features(images):
    return images.flatten(1).numpy()
problem = Problem(lambda: base, noise_schedule(), *three.split(data.load().train), three, 10, features, None, Device())
for name in ("toward_null", "meta(toward_null)"):
    method = METHODS[name]
    run = method.begin(model, problem, method.configure({"steps": 2}), 0)
    assert run.advance(2) and run.last_loss > 0, name
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
