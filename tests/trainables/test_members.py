"""Members from files outside the packages: run once, in the keys by what they say and not by where they lie."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import TEXT

from sweep.space import find
from trainables import members
from trainables.attacks import ATTACKS
from trainables.data import DATASETS, dataset
from trainables.forgetting import parse_forget
from trainables.members import MemberError, Source
from trainables.metrics import METRICS
from trainables.registry import outside
from trainables.store import code_version
from trainables.store.code import Code
from trainables.unlearning import METHODS

ROOT = Path(__file__).parents[2]
SHIPPED = {"method": METHODS.names(), "attack": ATTACKS.names(), "metric": METRICS.names()}
BLOCKS = {Path(name).name: text for text, name in re.findall(r"```python\n(# (\S+\.py):.+?)```", TEXT, re.DOTALL)}
METRIC = """
from trainables.metrics import Figure, register

@register("NAME", (Figure("NAME", description="what it says"),))
def it(samples):
    return {"NAME": 1.0}
"""


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    members.use([])
    members.no_question()
    assert not outside()
    assert {"method": METHODS.names(), "attack": ATTACKS.names(), "metric": METRICS.names()} == SHIPPED


def file(folder: Path, name: str, text: str) -> Source:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return Source(str(folder / name), text.encode())


def version(*sources: Source) -> str:
    """The code version of the method of the README, which is among these files."""
    members.use(sources)
    return code_version(*METHODS["toward_null"].modules)


def test_an_edit_changes_the_key_and_a_move_does_not(tmp_path: Path) -> None:
    text = BLOCKS["toward_null.py"]
    before = version(file(tmp_path / "a", "toward_null.py", text))
    assert version(file(tmp_path / "b", "toward_null.py", text)) == before, "the same file elsewhere"
    assert version(file(tmp_path / "a", "other_name.py", text)) == before
    assert version(file(tmp_path / "a", "toward_null.py", text + "# a comment\n")) == before
    edited = text.replace("+ retain", "+ 2 * retain")
    assert edited != text and version(file(tmp_path / "a", "toward_null.py", edited)) != before, "another loss"


def test_a_file_within_the_package_has_the_key_that_it_had_outside(tmp_path: Path) -> None:
    package = shutil.copytree(ROOT / "trainables", tmp_path / "trainables")
    for name, folder, family in (
        ("toward_null.py", "unlearning", METHODS),
        ("jitter.py", "attacks", ATTACKS),
        ("stripes.py", "data", DATASETS),
    ):
        (package / folder / name).write_text(BLOCKS[name])
        members.use([file(tmp_path / "mine", name, BLOCKS[name])])
        one = family[name.removesuffix(".py")]
        modules = one.modules if family is METHODS else (one.module,)
        inside = Code(package).version(f"trainables.{folder}.{name.removesuffix('.py')}")
        assert code_version(*modules) == inside, name


def test_what_a_member_imports_from_beside_it_is_in_its_key(tmp_path: Path) -> None:
    text = BLOCKS["toward_null.py"].replace("+ retain", "+ WEIGHT * retain") + "\n\nfrom ._weights import WEIGHT\n"
    versions = {
        version(file(tmp_path, "toward_null.py", text), file(tmp_path, "_weights.py", f"WEIGHT = {weight}\n"))
        for weight in (1, 2, 2)
    }
    assert len(versions) == 2
    with pytest.raises(MemberError, match=r"toward_null\.py: imports \._weights, which is not beside it"):
        version(file(tmp_path, "toward_null.py", text))


def test_a_file_is_run_once_and_what_was_read_is_what_counts(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    text = METRIC.replace("NAME", "mine") + f"\nopen({str(ran)!r}, 'a').write('x')\n"
    one = file(tmp_path, "mine.py", text)
    for _ in range(3):
        members.use([one])
        members.use([])
    members.use([one])
    assert ran.read_text() == "x" and "mine" in METRICS.names()
    (module,) = [name for name in METRICS.modules() if not name.startswith("trainables.")]
    before = code_version(module)
    (tmp_path / "mine.py").write_text("edited while a sweep runs")
    assert code_version(module) == before and members.in_use() == (one,)
    members.use([file(tmp_path, "other.py", METRIC.replace("NAME", "other"))])
    assert "mine" not in METRICS.names() and "other" in METRICS.names()


def test_a_question_that_registers_a_member_is_run_once_however_often_it_is_loaded(tmp_path: Path) -> None:
    ran, tiny = tmp_path / "ran", (ROOT / "tests" / "questions" / "tiny.py").read_text()
    question = tmp_path / "my-question.py"
    question.write_text(tiny + METRIC.replace("NAME", "mine") + f"\nopen({str(ran)!r}, 'a').write('x')\n")
    first = find.load(str(question))
    assert find.load(str(question)) is first and ran.read_text() == "x" and "mine" in METRICS.names()
    (source,) = members.in_use()
    assert source.name == "my-question.py"
    question.write_text(question.read_text() + "# changed\n")
    find.load(str(question))
    assert ran.read_text() == "xx" and "mine" in METRICS.names(), "the new one takes the old one's place"
    find.load("dimum_robustness")
    assert "mine" not in METRICS.names() and members.in_use() == ()


def test_names_are_told_apart_and_both_files_named(tmp_path: Path) -> None:
    a, b = (file(tmp_path / x, f"{x}.py", METRIC.replace("NAME", "mine")) for x in "ab")
    with pytest.raises(MemberError, match=r"b\.py: the metric 'mine' is already registered by .*/a/a\.py; rename one"):
        members.use([a, b])
    with pytest.raises(MemberError, match=r"the metric 'kid' is already registered by .*trainables/metrics/kid\.py"):
        members.use([file(tmp_path, "kid.py", METRIC.replace("NAME", "kid"))])
    wrapper = "from trainables.unlearning import register_wrapper\nregister_wrapper('meta')(lambda method: method)\n"
    with pytest.raises(MemberError, match=r"the wrapper of methods 'meta' is already registered by .*meta\.py"):
        members.use([file(tmp_path, "wrap.py", wrapper)])
    members.use([a])
    assert METRICS["mine"].name == "mine", "nothing of what was refused has stayed"


def test_a_class_is_forgotten_by_the_name_that_a_data_set_from_outside_gives_it(tmp_path: Path) -> None:
    names = 'classes=("first", "second", "third", "last"), '
    text = BLOCKS["stripes.py"].replace("conditions=4, ", f"conditions=4, {names}")
    members.use([file(tmp_path, "stripes.py", text)])
    data = dataset("stripes")
    assert parse_forget("third", data).conditions == parse_forget("2", data).conditions == (2,)
    with pytest.raises(ValueError, match="has no class 'thrid'; did you mean 'third'"):
        parse_forget("thrid", data)
    members.use([file(tmp_path, "stripes.py", BLOCKS["stripes.py"])])
    assert dataset("stripes").classes == (), "no description of the other file's is kept"
    short = text.replace('"first", ', "")
    with pytest.raises(MemberError, match="3 names for 4 conditions"):
        members.use([file(tmp_path, "stripes.py", short)])
