"""What SECURITY.md promises: no file brings code along, no path is led astray, no secret in an option is repeated.

What a whole sweep listens on and leaves is looked at in `tests/sweep/driver/test_drive.py`, which runs one anyway.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from unsafe_code import findings

from sweep import export, launch, pareto, query, records, report
from sweep.cluster.remote import _name as name_on_a_cluster
from sweep.errors import UsageError
from sweep.reading.sweep import read_sweep
from sweep.search import warm_start
from sweep.search.journal import open_journal
from sweep.space import Arm, Attack, Float
from trainables.data.cifar10 import read_pickled
from trainables.denoisers.pipelines import located, read_pipeline
from trainables.features.inception import checked_weights
from trainables.store import Store
from trainables.store.node_cache import NodeCache

ROOT = Path(__file__).parents[1]
QUICK = str(ROOT / "tests" / "questions" / "quick.py")

# ---------------------------------------------------------------- code that would run what a file brings along

ALLOWED = {
    ("sweep/space/find.py", "importlib.import_module: imports by a computed name"): (
        2, "questions of the project's own folder, by a name that is in its list"),
    ("sweep/samplers/catalogue.py", "importlib.import_module: imports by a computed name"): (
        1, "samplers: modules of the project's own room, by a name that is in their table"),
    ("trainables/members.py", "importlib.import_module: imports by a computed name"): (
        1, "--space FILE.py and --members: questions and members are code, and their user names the files"),
    ("sweep/__main__.py", "importlib.import_module: imports by a computed name"): (
        1, "the project's own commands, by a name that is in their list"),
    ("sweep/procedures/__init__.py", "importlib.import_module: imports by a computed name"): (
        1, "procedures: rooms of the project's own package, by a name that is in their list"),
    ("trainables/running/procedures.py", "importlib.import_module: imports by a computed name"): (
        1, "their trials: rooms of the project's own package, by a name that is in their list"),
    ("trainables/registry.py", "importlib.import_module: imports by a computed name"): (
        2, "members of the project's own families, by the files of their folder"),
    ("trainables/data/_files/pickled_arrays.py", "import pickle"): (
        1, "CIFAR-10 is published as pickles: an unpickler that knows nothing but arrays of whole numbers"),
    ("trainables/denoisers/imported.py", "from_pretrained without use_safetensors=True"): (
        1, "a tokenizer, which has words and no weights, by its own class: none is looked up in its files"),
    ("trainables/judges/_folders.py", "from_pretrained without use_safetensors=True"): (
        1, "an image processor, which has numbers and no weights; code of a model is refused"),
    ("trainables/judges/zero_shot_clip.py", "from_pretrained without use_safetensors=True"): (
        1, "a tokenizer, by its own class"),
    ("trainables/features/inception.py", "torch.jit.load: runs a TorchScript file"): (
        1, "the bytes whose SHA-256 was compared with the pinned one, not the file again"),
}  # fmt: skip

UNSAFE = {
    "import pickle": "import pickle",
    "a pickle's function": "from pickle import loads",
    "Ray's pickle": "from ray import cloudpickle",
    "torch.load": "import torch\ntorch.load('x')",
    "torch.load under another name": "from torch import load as read\nread('x', weights_only=False)",
    "weights_only by a variable": "import torch\ntorch.load('x', weights_only=safe)",
    "TorchScript": "from torch.jit import load\nload('x')",
    "torch.hub": "import torch\ntorch.hub.load('a/b', 'c')",
    "numpy's pickles": "import numpy as np\nnp.load('x', allow_pickle=True)",
    "pandas' pickles": "import pandas as pd\npd.read_pickle('x')",
    "eval": "eval('1')",
    "exec": "exec('1')",
    "a computed import": "import importlib\nimportlib.import_module(name)",
    "yaml.load": "import yaml\nyaml.load(text)",
    "another loader": "import yaml\nyaml.load(text, Loader=yaml.Loader)",
    "a shell": "import subprocess\nsubprocess.run('x', shell=True)",
    "os.system": "import os\nos.system('x')",
    "code of a hub's model": "AutoModel.from_pretrained('x', use_safetensors=True, trust_remote_code=True)",
    "weights that may be pickles": "UNet2DModel.from_pretrained('x')",
    "Tune's state": "from ray import tune\ntune.Tuner.restore('x')",
}
SAFE = (
    "import torch, yaml, subprocess, numpy as np\ntorch.load('x', weights_only=True)\nnp.load('x', allow_pickle=False)\n"
    "yaml.load(text, Loader=yaml.SafeLoader)\nsubprocess.run(['x'])\nUNet2DModel.from_pretrained('x', use_safetensors=True)"
)


def sources() -> list[Path]:
    return sorted(p for package in ("sweep", "trainables", "search_spaces") for p in (ROOT / package).rglob("*.py"))


def test_nothing_runs_code_that_a_file_or_a_name_brings_along_but_what_is_listed_here() -> None:
    found: dict[tuple[str, str], int] = {}
    for path in sources():
        for _line, what in findings(path.read_text()):
            at = path.relative_to(ROOT).as_posix(), what
            found[at] = found.get(at, 0) + 1
    assert found == {at: count for at, (count, _why) in ALLOWED.items()}


@pytest.mark.parametrize("kind", UNSAFE)
def test_the_scan_sees_each_kind(kind: str) -> None:
    assert findings(UNSAFE[kind]), UNSAFE[kind]


def test_the_scan_lets_safe_code_be() -> None:
    assert findings(SAFE) == []


def test_only_one_place_asks_a_hub_and_only_one_reads_a_pipeline() -> None:
    asks = {
        word: {p.relative_to(ROOT).as_posix() for p in sources() if f"{word}(" in p.read_text()}
        for word in ("snapshot_download", "hf_hub_download", "from_pretrained")
    }
    assert asks["snapshot_download"] == {"trainables/denoisers/pipelines.py"}, "--base, and the control beside it"
    assert asks["hf_hub_download"] == set()
    # export.py writes the lines by which others load the model; parts.py tells how pickles are converted.
    assert asks["from_pretrained"] == {
        "trainables/judges/_folders.py",  # a judge's model: no pipeline
        "trainables/judges/zero_shot_clip.py",
        "trainables/denoisers/imported.py",
        "trainables/denoisers/parts.py",
        "trainables/relearning/export.py",
    }


# ---------------------------------------------------------------- a pickle in every place that a file is read from


@dataclass
class Bomb:
    """A pickle that makes a file when it is read as one."""

    marker: Path

    def __reduce__(self) -> Any:
        return open, (str(self.marker), "w")

    @property
    def data(self) -> bytes:
        return pickle.dumps(self, protocol=2)

    @property
    def went_off(self) -> bool:
        return self.marker.exists()


@pytest.fixture
def bomb(tmp_path: Path) -> Bomb:
    bomb = Bomb(tmp_path / "went-off")
    pickle.loads(bomb.data).close()
    assert bomb.went_off, "else it would prove nothing"
    bomb.marker.unlink()
    return bomb


def test_an_artifact_that_is_a_pickle_runs_nothing(bomb: Bomb, tmp_path: Path) -> None:
    store, key = Store(tmp_path / "store"), "ab" * 32
    sidecar, tensors = (tmp_path / "store" / "ab" / f"{key}.{suffix}" for suffix in ("json", "safetensors"))
    store.put(key, "score", {}, {"x": np.zeros(3)})
    promised = json.loads(sidecar.read_text())
    promised["sha256"] = hashlib.sha256(bomb.data).hexdigest()  # a sender can have his own hashes right
    del promised["check"]
    sidecar.write_text(json.dumps(promised))
    tensors.write_bytes(bomb.data)
    with pytest.raises(Exception, match="header"):
        store.get(key).tensors()
    sidecar.write_bytes(bomb.data)
    assert store.find(key) is None
    partial = tmp_path / "store" / "partial" / f"{key}.safetensors"
    partial.parent.mkdir(exist_ok=True)
    partial.write_bytes(bomb.data)
    assert store.load_partial(key) is None
    assert not bomb.went_off


def test_what_this_machine_keeps_of_a_store_runs_nothing_and_is_nobody_elses(
    bomb: Bomb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    monkeypatch.setenv("SWEEP_CACHE", str(kept))
    cache = NodeCache()
    (kept / ("cd" * 32)).write_bytes(bomb.data)
    assert cache.open("cd" * 32) is None
    if os.getuid() == 0:
        os.chown(kept, 12345, 12345)
    else:
        monkeypatch.setenv("SWEEP_CACHE", "/usr")  # root's
    with pytest.raises(PermissionError, match="belongs to another user"):
        NodeCache()
    assert not bomb.went_off


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    sys.path.insert(0, str(ROOT / "tests" / "sweep"))
    from recorded_run import write_run

    return write_run(tmp_path / "recorded")


def read_it_all(run: Path, out: Path) -> None:
    """Every command that reads a run without going on with it, a journal's opening and a warm start among them."""
    model = ["--replicate", "0", "-o", str(out / "model")]
    for command, args in (
        (pareto, [str(run)]),
        (report, [str(run), "-o", str(out / "page.html")]),
        (query, [str(run), "SELECT * FROM trials"]),
        (export, [str(run), "dimum-0000", *model]),
        (launch, ["--resume", str(run)]),
    ):
        try:
            command.main(args)  # type: ignore[attr-defined]
        except SystemExit as ended:
            assert ended.code == 2
    open_journal(run)
    for read in (lambda: warm_start.gather([str(run)], recorded_space()), lambda: warm_start.read(run)):
        with suppress(UsageError):
            read()


def recorded_space() -> Any:
    from recorded_run import space

    return space()


FIRST_READ = ("plan.json", "prepared.json", "status.json", "search.json")
OTHERS = ("confirm.json", "warm_start.json", "track.json", "loggers.json", "optuna.journal")


@pytest.mark.parametrize("which", ["rows", "columns", *FIRST_READ, "others"])
def test_a_run_folder_with_a_pickle_in_it_runs_nothing(which: str, bomb: Bomb, recorded: Path, tmp_path: Path) -> None:
    tables = recorded / "records"
    if which == "rows":
        for table in records.TABLES:
            (tables / table / "dimum-0009.parquet").write_bytes(bomb.data)
    elif which == "columns":  # CVE-2023-47248: a column whose type is a pickle
        odd = pa.field("x", pa.binary(), metadata={
            "ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": bomb.data})  # fmt: skip
        for table in records.TABLES:
            rows = pq.read_table(next((tables / table).glob("*.parquet")))
            pq.write_table(rows.append_column(odd, [[b"x"] * len(rows)]), tables / table / "dimum-0009.parquet")
    else:
        for name in OTHERS if which == "others" else [which]:
            (recorded / name).write_bytes(bomb.data)
    read_it_all(recorded, tmp_path)
    assert not bomb.went_off


def test_reading_a_run_runs_no_code_of_its_question_and_going_on_with_it_does(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run brings its question along, as runs from before brought its path. Readers run neither."""
    from sweep.plan.members import keep
    from sweep.plan.plan import Plan

    question, ran = tmp_path / "question.py", tmp_path / "ran"
    running = f"open({str(ran)!r}, 'w').close()\n"
    question.write_text(Path(QUICK).read_text())
    own = json.loads((recorded / "plan.json").read_text())
    plan = Plan.of(space=str(question), run_dir=str(recorded), artifacts=str(recorded / "artifacts"))
    whole = plan.to_json()
    keep(recorded, plan.space)
    (copy,) = (recorded / "question").iterdir()
    before = copy.read_text()
    copy.write_text(running + before)
    (recorded / "plan.json").write_text(json.dumps(whole | own))
    read_only(recorded, tmp_path)
    assert launch.main(["--resume", str(recorded)]) == 2
    assert not ran.exists() and "is not the file that this run began with" in capsys.readouterr().err
    whole["plan"]["space"] = str(copy)
    del whole["question_file"]
    (recorded / "plan.json").write_text(json.dumps(whole | own))
    read_only(recorded, tmp_path)
    assert not ran.exists()
    assert launch.main(["--resume", str(recorded)]) == 2  # the fingerprint is another: it is refused, but it ran
    assert ran.exists(), "SECURITY.md says so"
    capsys.readouterr()


def read_only(run: Path, out: Path) -> None:
    """Every command that reads a run and runs nothing that it brings along."""
    for command, args in (
        (pareto, [str(run)]),
        (report, [str(run), "-o", str(out / "page.html")]),
        (query, [str(run), "SELECT * FROM trials"]),
        (export, [str(run), "dimum-0000", "-o", str(out / "model")]),
    ):
        command.main(args)  # type: ignore[attr-defined]


def test_members_that_a_run_brings_along_are_run_by_going_on_with_it_alone(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sweep.plan.members import keep
    from sweep.plan.plan import Plan

    ran, code = tmp_path / "ran", b"from trainables.metrics import register\n"
    (recorded / "members").mkdir()
    (recorded / "members" / "mine.py").write_bytes(code + f"open({str(ran)!r}, 'w').close()\n".encode())
    plan = Plan.of(space=QUICK, run_dir=str(recorded), artifacts=str(recorded / "artifacts")).to_json()
    keep(recorded, QUICK)
    figure = {"name": "mine", "description": "what a metric of the run's own says", "unit": "share"}
    found = {"name": "mine.py", "sha256": hashlib.sha256((recorded / "members" / "mine.py").read_bytes()).hexdigest()}
    own = json.loads((recorded / "plan.json").read_text())
    brought = {"member_files": [found], "member_figures": [figure]}
    (recorded / "plan.json").write_text(json.dumps(plan | own | brought))
    read_only(recorded, tmp_path)
    assert read_sweep(recorded).columns.is_share("mine"), "what it declares is read from the plan, as plain words"
    assert not ran.exists()
    assert launch.main(["--resume", str(recorded)]) == 2  # it registers nothing: it is refused, but it ran
    assert ran.exists(), "SECURITY.md says so"
    ran.unlink()
    (recorded / "members" / "mine.py").write_bytes(code + f"\nopen({str(ran)!r}, 'w').close()\n".encode())
    assert launch.main(["--resume", str(recorded)]) == 2
    assert not ran.exists() and "is not the file that this run began with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "figures", [3, [3], [{}], [{"name": "a/b", "description": "x"}], [{"name": "a", "description": "x", "unit": 3}]]
)
def test_figures_that_a_plan_cannot_have_are_one_line(
    figures: object, recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = json.loads((recorded / "plan.json").read_text())
    (recorded / "plan.json").write_text(json.dumps(plan | {"member_figures": figures}))
    assert pareto.main([str(recorded)]) == 2
    error = capsys.readouterr().err
    assert "plan.json: not a plan of this version" in error and error.count("\n") == 1


WEIGHTS = {
    "pickles beside no safetensors": ("diffusion_pytorch_model.bin", "its weights are pickles"),
    "a pickle called safetensors": ("diffusion_pytorch_model.safetensors", "cannot be read"),
    "shards that are pickles": ("diffusion_pytorch_model.safetensors.index.json", "is no safetensors file beside it"),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_are_pickles_run_nothing(kind: str, bomb: Bomb, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "tests" / "trainables"))
    import pipelines

    from trainables.denoisers.imported import _read

    folder, (name, said) = tmp_path / "pipeline", WEIGHTS[kind]
    pipelines.save_ddpm(folder, pipelines.unet(10))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "shard.bin").write_bytes(bomb.data)
    index = json.dumps({"metadata": {}, "weight_map": {"conv_in.weight": "shard.bin"}})
    (folder / "unet" / name).write_bytes(index.encode() if name.endswith("json") else bomb.data)
    with pytest.raises(ValueError, match=said):
        from diffusers import UNet2DModel

        _read(UNet2DModel, read_pipeline(str(folder)), "unet")
    assert not bomb.went_off


def test_a_pickled_batch_of_images_runs_nothing(bomb: Bomb, tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(bomb.data)
    with pytest.raises(ValueError, match="which a batch of images has no need of"):
        read_pickled(tmp_path / "data_batch_1")
    assert not bomb.went_off


def test_torchscript_is_what_was_hashed(tmp_path: Path) -> None:
    file = tmp_path / "inception.pt"
    file.write_bytes(b"code")
    with pytest.raises(ValueError, match="a TorchScript file runs code, so it is not loaded"):
        checked_weights(str(file), "0" * 64)
    content = checked_weights(str(file), hashlib.sha256(b"code").hexdigest())
    file.write_bytes(b"other code")  # between the look and the loading
    assert content == b"code"


def test_a_hub_id_is_pinned_to_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, cache = "1" * 40, "2" * 40, tmp_path / "models--owner--model"
    for commit in (first, second):
        (cache / "snapshots" / commit).mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(first)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert located("owner/model")[1] == first
    (cache / "refs" / "main").write_text(second)  # the owner has uploaded another
    assert located("owner/model", first) == (str(cache / "snapshots" / first), first)


# ---------------------------------------------------------------- names that become paths

LONG = "x" * 300
BAD_NAMES = ("../x", "..", ".", "/etc/passwd", "a/b", "a\\b", "a\0b", "", "-rf", " x", "x\n", LONG)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_would_leave_its_folder_is_refused(name: str, recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        records.safe_name(name)
    with pytest.raises(ValueError, match="cannot name a file"):
        records.rows(recorded, "curves", name)
    with pytest.raises(UsageError, match="a name is of letters"):
        Arm(name, "dimum", (Float("lr", 0.1, 1.0),))
    with pytest.raises(UsageError, match="a name is of letters"):
        Attack(name, "dimra", {})
    with pytest.raises(ValueError, match="is no artifact key"):
        Store(tmp_path).find(name)
    if name != LONG:
        with pytest.raises(UsageError, match="a run has a plain name"):
            name_on_a_cluster(name)


def test_a_recorded_trial_whose_name_is_a_path_is_left_out(recorded: Path, caplog: pytest.LogCaptureFixture) -> None:
    for table in records.TABLES:
        (file,) = list((recorded / "records" / table).glob("dimum-0000*.parquet"))[:1]
        rows = pq.read_table(file)
        ids = pa.array(["../../outside"] * len(rows)).cast(rows["trial_id"].type)
        pq.write_table(
            rows.set_column(rows.column_names.index("trial_id"), "trial_id", ids), file.with_name("odd.parquet")
        )
    for table in records.TABLES:
        assert "../../outside" not in {r["trial_id"] for r in records.rows(recorded, table)}
    assert "whose names cannot name a file" in caplog.text


PATHS = {
    "a run's": lambda name: (launch, ["--space", QUICK, "--run-dir", name]),
    "the artifacts'": lambda name: (launch, ["--space", QUICK, "--artifacts", name]),
    "the storage's": lambda name: (launch, ["--space", QUICK, "--storage", name]),
    "a data folder's": lambda name: (
        launch, ["--space", QUICK, "--data", "image_folder", "--data-folder", name, "--forget", "0"]),
    "a question's": lambda name: (launch, ["--space", f"{name}.py"]),
    "a base model's": lambda name: (launch, ["--space", QUICK, "--base", f"./{name}"]),
    "an earlier run's": lambda name: (launch, ["--space", QUICK, "--warm-start", name]),
    "a run to go on with": lambda name: (launch, ["--resume", name]),
    "a run to read": lambda name: (pareto, [name]),
    "a run to ask": lambda name: (query, [name, "SELECT 1"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ["a\0b", LONG], ids=["NUL", "long"])
@pytest.mark.parametrize("what", PATHS)
def test_a_path_that_no_disk_takes_is_one_line(
    what: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command, args = PATHS[what](name)
    with pytest.raises(SystemExit) as ended:
        command.main(args)  # type: ignore[attr-defined]
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- a secret in an option

SECRET_OPTIONS = {
    "a password": ("--artifacts", "s3://me:hunter2hunter2@bucket/a", "hunter2"),
    "a key with a slash": ("--storage", "s3://key:abc/def+ghi@bucket/a", "def+ghi"),
    "a key among an address's options": ("--storage", "s3://bucket/a?secret_key=hunter2hunter2", "hunter2"),
    "a tracker's password": ("--mlflow", "postgresql://me:hunter2@host/db", "hunter2"),
    "a hub's token": ("--base", "hf_" + "a" * 34, "aaaa"),
    "an AWS key": ("--run-dir", "AKIAABCDEFGHIJKLMNOP", "AKIAABCD"),
}


@pytest.mark.parametrize("kind", SECRET_OPTIONS)
def test_a_secret_in_an_option_is_refused_and_not_repeated(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flag, value, secret = SECRET_OPTIONS[kind]
    assert launch.main(["--space", QUICK, flag, value]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {flag}: holds a") and told.err.count("\n") == 1
    assert secret not in told.out + told.err and list(tmp_path.iterdir()) == []
