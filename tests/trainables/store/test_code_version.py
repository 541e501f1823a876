"""Code versions: what a module reaches changes its hash, and nothing else does: no comment, no name of a module, no room."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import trainables.metrics
from trainables.relearning.experiment import Experiment
from trainables.relearning.stages.score import scoring_code
from trainables.store import code, code_version
from trainables.store.code import ROOT, Code

SOURCE = '''"""What it is."""

from trainables.gate import excluded  # used below


def limit(x: float) -> float:
    """Half of it."""
    return x / 2  # exactly
'''
GATE = "def excluded(): ..."

Hash = Callable[..., str]


@pytest.fixture
def hash_of(tmp_path: Path) -> Hash:
    """The hash of a module in a package of these modules, sources by name; a slash makes a folder."""

    def hashed(module: str, /, **sources: str) -> str:
        shutil.rmtree(tmp_path / "trainables", ignore_errors=True)
        for name, source in ({"__init__": ""} | sources).items():
            path = tmp_path.joinpath("trainables", *name.split("__in__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return Code(tmp_path / "trainables").version(f"trainables.{module}")

    return hashed


def test_a_changed_statement_changes_the_version(hash_of: Hash) -> None:
    before = hash_of("probe", probe=SOURCE, gate=GATE)
    assert hash_of("probe", probe=SOURCE.replace("x / 2", "x / 3"), gate=GATE) != before
    assert hash_of("probe", probe=SOURCE.replace("x: float", "x: float = 1.0"), gate=GATE) != before
    assert hash_of("probe", probe=SOURCE, gate=GATE) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# exactly", "# or nearly"),
        ("Half of it.", "Its half."),
        ("What it is.", "Something else."),
        ('"""What it is."""\n', ""),
        ("x / 2", "(\n        x\n        / 2\n    )"),
        ("def limit", '"""What the next line is."""\n\ndef limit'),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(hash_of: Hash, old: str, new: str) -> None:
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert hash_of("probe", probe=changed, gate=GATE) == hash_of("probe", probe=SOURCE, gate=GATE)


IMPORTS = (
    "from trainables import other",
    "from trainables.other import y",
    "import trainables.other as other",
    "def f():\n    from trainables.other import y",
    "try:\n    from trainables.other import y\nexcept ImportError:\n    pass",
    "match 1:\n    case 1:\n        from trainables.other import y",
    "class C:\n    from trainables.other import y",
)


@pytest.mark.parametrize("line", IMPORTS)
def test_a_change_in_an_imported_module_changes_the_version_wherever_it_is_imported(hash_of: Hash, line: str) -> None:
    probe = f"{line}\n"
    assert hash_of("probe", probe=probe, other="y = 1") != hash_of("probe", probe=probe, other="y = 2")
    assert hash_of("probe", probe="x = 1", other="y = 1") == hash_of("probe", probe="x = 1", other="y = 2")


def test_what_an_imported_module_imports_counts_too(hash_of: Hash) -> None:
    chain = {"probe": "from trainables.a import x", "a": "from trainables.b import x"}
    assert hash_of("probe", **chain, b="x = 1") != hash_of("probe", **chain, b="x = 2")


def test_a_move_changes_nothing(hash_of: Hash) -> None:
    before = hash_of(
        "probe", probe="import torch\n\nfrom trainables.b import x\nfrom trainables.c import y\n", b="x=1", c="y=2"
    )
    after = hash_of(
        "unlearning.probe",
        unlearning__in__probe="import torch\n\nfrom trainables.a.c import y\nfrom trainables.z import x\n",
        a__in__c="y=2",
        z="x=1",
    )
    assert before == after


def test_which_name_is_imported_and_what_it_is_called_count(hash_of: Hash) -> None:
    others = {"a": "x = 1\ny = 2", "b": "x = 2\ny = 1"}
    ways = [
        "from trainables.a import x",
        "from trainables.a import y",
        "from trainables.a import x as y",
        "from trainables.b import x",
        "from trainables import a as x",
        "from trainables import b as x",
    ]
    assert len({hash_of("probe", probe=way, **others) for way in ways}) == len(ways)


def test_the_order_of_imports_does_not_count(hash_of: Hash) -> None:
    lines = ["from trainables.a import x", "from trainables.b import y, z"]
    others = {"a": "x = 1", "b": "y = z = 2"}
    assert hash_of("probe", probe="\n".join(lines), **others) == hash_of(
        "probe", probe="\n".join(lines[::-1]), **others
    )
    split = [lines[0], "from trainables.b import z", "from trainables.b import y"]
    assert hash_of("probe", probe="\n".join(split), **others) == hash_of("probe", probe="\n".join(lines), **others)


def test_modules_that_import_each_other_are_hashed_together(hash_of: Hash) -> None:
    circle = {"a": "from trainables.b import y\nx = 1", "b": "from trainables.c import z\ny = 1"}

    def hashes(c: str) -> list[str]:
        return [hash_of(module, **circle, c=c) for module in ("a", "b", "c")]

    closed = hashes("from trainables.a import x\nz = 1")
    assert len(set(closed)) == 3
    assert not set(closed) & set(hashes("from trainables.a import x\nz = 2")), "each has the whole circle in it"
    moved = {"k": "from trainables.m import y\nx = 1", "m": "from trainables.l import z\ny = 1"}
    moved["l"] = "from trainables.k import x\nz = 1"
    assert [hash_of(module, **moved) for module in ("k", "m", "l")] == closed, "nor do names count there"


def test_which_module_of_a_circle_is_imported_counts(hash_of: Hash) -> None:
    circle = {"a": "from trainables.b import x as y\nx = 1", "b": "from trainables.a import x as y\nx = 2"}
    assert hash_of("probe", probe="from trainables.a import x", **circle) != hash_of(
        "probe", probe="from trainables.b import x", **circle
    )


GUARD = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trainables.other import y\n"


def test_what_is_imported_for_type_checkers_does_not_count(hash_of: Hash) -> None:
    assert hash_of("probe", probe=GUARD, other="y = 1") == hash_of("probe", probe=GUARD, other="y = 2")


@pytest.mark.parametrize(
    "probe",
    [
        GUARD.replace("if TYPE", "if not TYPE"),
        GUARD.replace("CHECKING:", "CHECKING or True:"),
        GUARD.replace(":\n", ":\n    pass\nelse:\n"),
        GUARD.replace("if TYPE", "if 1:\n    pass\nelif not TYPE"),
        GUARD.replace("from typing import TYPE_CHECKING", "TYPE_CHECKING = True"),
        GUARD.replace("if", "TYPE_CHECKING = True\nif"),
    ],
)
def test_what_only_looks_as_if_it_were_for_type_checkers_counts(hash_of: Hash, probe: str) -> None:
    assert hash_of("probe", probe=probe, other="y = 1") != hash_of("probe", probe=probe, other="y = 2")


def test_what_lies_in_a_neutral_room_does_not_count(hash_of: Hash) -> None:
    probe = "from trainables.store import Store"
    inside = {
        "store__in____init__": "from trainables.store.files import Store",
        "store__in__files": "class Store: x = 1",
    }
    before = hash_of("probe", probe=probe, **inside)
    assert hash_of("probe", probe=probe, **inside | {"store__in__files": "class Store: x = 2"}) == before
    assert hash_of("probe", probe="from trainables.store.files import Store", **inside) == before, "a move within it"
    assert hash_of("probe", probe="from trainables.stores import Store", stores="class Store: x = 1") != before


def test_a_member_of_a_family_depends_on_the_family_and_not_on_the_members_beside_it(hash_of: Hash) -> None:
    def member(family: str = "", other: str = "") -> str:
        own = "from trainables.attacks import register"
        return hash_of("attacks.own", attacks__in____init__=family, attacks__in__own=own, attacks__in__other=other)

    assert member(other="x = 1") == member(other="x = 2")
    assert member(family="x = 1") != member(family="x = 2")


@pytest.mark.parametrize(
    "line", ["from . import other", "from .other import y", "import trainables.other", "import trainables as t"]
)
def test_an_import_that_hides_what_it_depends_on_is_refused(hash_of: Hash, line: str) -> None:
    with pytest.raises(ValueError, match=r"trainables\.probe: .* hides what"):
        hash_of("probe", probe=line, other="y = 1")


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"trainables\.no_such_module"):
        code_version("trainables.no_such_module")


def test_a_member_that_somebodys_own_file_registers_has_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(source: str) -> str:
        file = tmp_path / "store.py"  # named like a neutral room, and in none
        file.write_text(source)
        module = types.ModuleType("store")
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, "store", module)
        return Code(ROOT).version("store")

    plain, using = "x = 1", "from trainables.diffusion import sample\nx = 1"
    assert len({version(plain), version("x = 2"), version(using), code_version("trainables.diffusion")}) == 4
    with pytest.raises(ValueError, match="nowhere"):
        code_version("nowhere")


def test_every_module_of_the_package_has_a_version_and_none_imports_in_a_circle() -> None:
    package = Code(ROOT)
    modules = [
        ".".join(("trainables", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for file in ROOT.rglob("*.py")
    ]
    assert len(modules) > 80 and all(package.hash(module) for module in modules)
    assert [module for module in modules if module in package.reached(module)] == []


def test_dimum_depends_on_replacement_and_diffusion_and_not_on_attacks() -> None:
    reached = Code(ROOT).reached("trainables.unlearning.dimum")
    assert {
        "trainables.unlearning",
        "trainables.unlearning._replacement",
        "trainables.diffusion",
        "trainables.data",
    } <= reached
    assert not any(module.startswith(("trainables.attacks", "trainables.relearning")) for module in reached)


def test_every_metric_is_part_of_the_scoring_code(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scoring_code(experiment)
    copy = shutil.copytree(ROOT, tmp_path / "trainables")
    monkeypatch.setattr(trainables.metrics, "__path__", [str(copy / "metrics")])
    versions = set()
    for source in ("figure = 1", "figure = 2"):
        (copy / "metrics" / "new_metric.py").write_text(source)
        monkeypatch.setattr(code, "_CODE", Code(copy))
        versions.add(scoring_code(experiment))
    assert len(versions | {before}) == 3


def test_a_library_of_an_extra_counts_where_it_is_imported(hash_of: Hash, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for release in ("1.0", "1.1"):
        monkeypatch.setattr(code, "_release", lambda name, own=release: own if name == "timm" else "2")
        for source in ("import timm", "from timm.models import x", "x = 1"):
            found[source, release] = hash_of("probe", probe=f"from trainables.b import x\n{source}", b="x = 1")
            found[f"through {source}", release] = hash_of("probe", probe="from trainables.b import x", b=source)
    for source in ("import timm", "from timm.models import x"):
        assert found[source, "1.0"] != found[source, "1.1"]
        assert found[f"through {source}", "1.0"] != found[f"through {source}", "1.1"]
    assert found["x = 1", "1.0"] == found["x = 1", "1.1"]


@pytest.mark.parametrize(
    ("source", "distributions"),
    [
        ("from PIL import Image", {"pillow"}),
        ("def f():\n    from cleanfid.resize import build_resizer", {"clean-fid", "pillow"}),
        ("from sklearn.datasets import load_digits", {"scikit-learn"}),
        ("from tokenizers.pre_tokenizers import ByteLevel", {"tokenizers"}),
        ("import transformers", {"transformers", "tokenizers", "torchvision"}),
        ("import numpy", set()),
    ],
)
def test_the_releases_of_what_an_imported_package_computes_with_count(
    hash_of: Hash, monkeypatch: pytest.MonkeyPatch, source: str, distributions: set[str]
) -> None:
    every = {name for names in code._COUNTED.values() for name in names}

    def probed(newer: str = "") -> str:
        monkeypatch.setattr(code, "_release", lambda name: f"{name}=={2 if name == newer else 1}")
        return hash_of("probe", probe=source)

    before = probed()
    assert {name for name in every if probed(name) != before} == distributions
    assert all(importlib.metadata.version(name) for name in distributions)


def test_pictures_are_decoded_anew_by_another_release_of_pillow() -> None:
    for module in ("image_folder", "celeba", "imagenette", "prompts"):
        of = f"trainables.data.{module}"
        assert any("pillow" in code._CODE.parsed(m).distributions for m in {of, *code._CODE.reached(of)})


@pytest.mark.parametrize("library", ["torch", "diffusers"])
def test_another_release_of_what_computes_changes_the_version(
    hash_of: Hash, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    before = hash_of("probe", probe="x = 1")
    monkeypatch.setattr(code, "_release", lambda name: f"{name}==0" if name == library else f"{name}==1")
    one = hash_of("probe", probe="x = 1")
    monkeypatch.setattr(code, "_release", lambda name: f"{name}==1")
    assert len({before, one, hash_of("probe", probe="x = 1")}) == 3


def test_an_extra_that_is_not_installed_costs_a_product_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert code._release.__wrapped__("transformers") == "transformers not installed"
