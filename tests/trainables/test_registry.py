"""Families of interchangeable things, and what it takes to add a member: one file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from textwrap import dedent

import pytest

import trainables
from trainables.attacks import ATTACKS
from trainables.data import DATASETS
from trainables.features import FEATURE_NETWORKS
from trainables.metrics import METRICS
from trainables.registry import Registry, configure
from trainables.unlearning import METHODS

FAMILIES = {
    "unlearning method": (METHODS, "dimun", "dimum"),
    "attack": (ATTACKS, "dimrra", "dimra"),
    "metric": (METRICS, "acuracy", "accuracy"),
    "data set": (DATASETS, "digit", "digits"),
    "feature network": (FEATURE_NETWORKS, "inceptionv3", "inception"),
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_misspelt_name_is_answered_with_the_nearest_and_all(kind: str) -> None:
    family, misspelt, meant = FAMILIES[kind]
    with pytest.raises(ValueError) as error:
        family[misspelt]
    message = str(error.value)
    assert kind in message and repr(misspelt) in message and f"did you mean {meant!r}?" in message
    assert all(name in message for name in family.names())


def test_two_members_cannot_have_one_name() -> None:
    family: Registry[int] = Registry("number", "trainables.data")
    family.add("one", 1)
    with pytest.raises(ValueError, match="'one'"):
        family.add("one", 11)


def test_what_begins_with_an_underscore_helps_members_and_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("__init__.py", "one.py", "two/__init__.py", "_helper.py", "_files/__init__.py"):
        (tmp_path / "family_of_two" / file).parent.mkdir(exist_ok=True)
        (tmp_path / "family_of_two" / file).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert Registry("thing", "family_of_two").modules() == ["family_of_two.one", "family_of_two.two"]


@dataclass(frozen=True)
class EveryType:
    on: bool = True
    steps: int = 10
    rate: float = 1.0
    word: str = "all"
    dropout: float | None = None
    layers: tuple[int, ...] = (8, 16)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("on", "false", "True or False"),
        ("on", 0, "True or False"),
        ("steps", 4.0, "a whole number"),
        ("steps", "4", "a whole number"),
        ("steps", True, "a whole number"),
        ("steps", None, "a whole number"),
        ("rate", "fast", "a number"),
        ("rate", True, "a number"),
        ("word", 3, "a word"),
        ("dropout", False, "a number or None"),
        ("dropout", "None", "a number or None"),
    ],
)
def test_a_value_of_another_type_than_its_setting_is_refused_in_one_line(name: str, value: object, wanted: str) -> None:
    with pytest.raises(ValueError) as error:
        configure("method 'mine'", EveryType, {name: value})
    assert str(error.value) == f"method 'mine': {name} must be {wanted}, not {value!r}"


def test_values_of_their_settings_types_are_taken_as_they_are() -> None:
    values = {"on": False, "steps": 4, "rate": 2, "word": "mid", "dropout": 0.5, "layers": (4,)}
    assert configure("method 'mine'", EveryType, values) == EveryType(False, 4, 2, "mid", 0.5, (4,))
    assert configure("method 'mine'", EveryType, {"dropout": None}).dropout is None


def test_types_that_were_evaluated_are_held_as_well_as_their_names() -> None:
    """A file without ``from __future__ import annotations`` declares the types themselves."""
    settings = make_dataclass("Evaluated", [("on", bool, True), ("dropout", float | None, None)])
    for name in ("on", "dropout"):
        with pytest.raises(ValueError, match=f"{name} must be"):
            configure("method 'mine'", settings, {name: "no"})


NEW_FILES = {
    "data/upside_down.py": """
        import torch
        from trainables.data import DATASETS, Images, Splits, register

        @register("upside_down", conditions=10, shape=(1, 8, 8))
        def upside_down() -> Splits:
            known = DATASETS["digits"].load()
            turned = [Images(torch.flip(s.images, (2,)), s.conditions) for s in (known.train, known.public, known.test)]
            return Splits(*turned)
        """,
    "unlearning/scaled.py": """
        from dataclasses import dataclass
        import torch
        from trainables.diffusion import denoising_loss
        from trainables.unlearning import FineTuningSettings, register

        @dataclass(frozen=True)
        class Scaled(FineTuningSettings):
            scale: float = 1.0

        @register("scaled", Scaled)
        def loss(problem, settings):
            def step(model, generator):
                drawn = problem.retain.where(torch.randint(len(problem.retain), (settings.batch,), generator=generator))
                return settings.scale * denoising_loss(model, problem.schedule, drawn.images, drawn.conditions, generator)
            return step
        """,
    "attacks/louder.py": """
        from dataclasses import dataclass
        from trainables.attacks import AttackSettings, register
        from trainables.attacks.dimra import loss as dimra

        @dataclass(frozen=True)
        class Louder(AttackSettings):
            times: float = 2.0

        @register("louder", Louder)
        def loss(target, settings):
            quiet = dimra(target, settings)
            return lambda model, generator: settings.times * quiet(model, generator)
        """,
    "metrics/brightness.py": """
        from trainables.metrics import Figure, register

        FIGURES = (Figure("brightness", description="mean of all pixels, in [-1, 1]"),)

        @register("brightness", FIGURES)
        def brightness(samples):
            return {"brightness": float(samples.images.mean())}
        """,
}

USE_THEM = """
import json, sys
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec
from trainables.relearning.trial import Pipeline
from trainables.relearning.products import make_classifier, make_model, make_reference, make_synthetic, model_key
from trainables.denoisers.recipes import BaseModel, ClassifierRecipe
from trainables.relearning.stages.score import make_score

experiment = Experiment(
    store=sys.argv[1], data="upside_down", base=BaseModel(channels=(8, 16), train_steps=3, batch=8),
    classifier=ClassifierRecipe(8, 8, 5), sampling_steps=2, synthetic_per_condition=1,
)
samples = Samples(4, 2)
make_classifier(experiment), make_model(experiment, "base"), make_reference(experiment), make_synthetic(experiment)
make_score(experiment, model_key(experiment, "base"), samples, 0)
attack = AttackPlan("loud", "louder", {"times": 3.0, "batch": 4})
settings = {"steps": 2, "batch": 4, "scale": 0.5}
pipeline = Pipeline(TrialSpec("t", 0, experiment, "scaled", settings, 0, (attack,), (0, 1), samples))
report = pipeline.step()
while report.state is None:
    report = pipeline.step()
import trainables
print(json.dumps([trainables.__path__[0], report.to_json()]))
"""


def test_a_new_method_attack_metric_or_data_set_is_one_new_file(tmp_path: Path) -> None:
    """In a copy of the package with nothing but these files added, a trial uses all four by name."""
    package = shutil.copytree(Path(trainables.__file__).parent, tmp_path / "trainables")
    for name, source in NEW_FILES.items():
        assert not (package / name).exists()
        (package / name).write_text(dedent(source))
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", USE_THEM, str(tmp_path / "store")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    where, report = json.loads(done.stdout.splitlines()[-1])
    assert Path(where) == package
    assert report["state"] == "COMPLETE"
    assert -1 <= report["figures"]["brightness"] <= 1
    assert 0 <= report["figures"]["robustness"] <= 1
    assert "brightness" in {row["metric"] for row in report["curves"] if row["attack"] == "loud"}
