"""Code versions: what a figure depends on changes its key, and nothing else does."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trainables
import trainables.metrics
from trainables import provenance
from trainables.experiment import Experiment
from trainables.provenance import code_version
from trainables.stages.score import scoring_code

SOURCE = '''"""What it is."""

from trainables.gate import excluded  # used below


def limit(x: float) -> float:
    """Half of it."""
    return x / 2  # exactly
'''


@pytest.fixture
def forget_sources() -> Iterator[Callable[[], None]]:
    """Reads sources anew: a process caches them, for they do not change while it runs."""

    def forget() -> None:
        importlib.invalidate_caches()
        for cached in (provenance.code_version, provenance._syntax, provenance._path):
            cached.cache_clear()

    yield forget
    forget()


@pytest.fixture
def version_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_sources: Callable[[], None]
) -> Callable[..., str]:
    """The code version of a module ``trainables.probe`` with this source; `helper` is one that it may import."""
    monkeypatch.setattr(trainables, "__path__", [*trainables.__path__, str(tmp_path)])

    def version(source: str, helper: str = "") -> str:
        (tmp_path / "probe.py").write_text(source)
        (tmp_path / "probe_helper.py").write_text(helper)
        forget_sources()
        return code_version("trainables.probe")

    return version


def test_dimum_depends_on_replacement_and_diffusion_and_not_on_attacks() -> None:
    closure = provenance._closure(("trainables.unlearning.dimum",))
    assert {
        "trainables.unlearning.dimum",
        "trainables.unlearning",
        "trainables.replacement",
        "trainables.diffusion",
        "trainables.data",
    } <= closure
    assert not any(module.startswith(("trainables.attacks", "trainables.pipeline")) for module in closure)


def test_a_changed_statement_changes_the_version(version_of: Callable[..., str]) -> None:
    before = version_of(SOURCE)
    assert version_of(SOURCE.replace("x / 2", "x / 3")) != before
    assert version_of(SOURCE.replace("x: float", "x: float = 1.0")) != before
    assert version_of(SOURCE) == before


def test_comments_docstrings_and_layout_change_nothing(version_of: Callable[..., str]) -> None:
    before = version_of(SOURCE)
    assert version_of(SOURCE.replace("# exactly", "# or nearly")) == before
    assert version_of(SOURCE.replace("Half of it.", "Its half.").replace("What it is.", "Something else.")) == before
    assert version_of(SOURCE.replace("x / 2", "(\n        x\n        / 2\n    )")) == before


def test_a_change_in_an_imported_module_changes_the_version(version_of: Callable[..., str]) -> None:
    for line in (
        "from trainables import probe_helper",
        "from trainables.probe_helper import y",
        "import trainables.probe_helper",
    ):
        importing = f"{line}\n{SOURCE}"
        assert version_of(importing, "y = 1") != version_of(importing, "y = 2"), line
    assert version_of(SOURCE, "y = 1") == version_of(SOURCE, "y = 2"), "it is not imported"


def test_every_metric_is_part_of_the_scoring_code(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_sources: Callable[[], None]
) -> None:
    before = scoring_code(experiment)
    monkeypatch.setattr(trainables.metrics, "__path__", [*trainables.metrics.__path__, str(tmp_path)])
    versions = set()
    for source in ("figure = 1", "figure = 2"):
        (tmp_path / "new_metric.py").write_text(source)
        forget_sources()
        versions.add(scoring_code(experiment))
    assert len(versions | {before}) == 3


def test_a_library_of_an_extra_counts_where_it_is_imported(
    version_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for release in ("1.0", "1.1"):
        monkeypatch.setattr(
            provenance.importlib.metadata, "version", lambda name, own=release: own if name == "timm" else "2"
        )
        for source in ("import timm", "x = 1"):
            found[source, release] = version_of(source)
    assert found["import timm", "1.0"] != found["import timm", "1.1"]
    assert found["x = 1", "1.0"] == found["x = 1", "1.1"]
