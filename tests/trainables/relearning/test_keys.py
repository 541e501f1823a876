"""Keys know the code: every function that a product's making reaches is in its key, and what is neutral is in none.

Which functions those are is found by making the products, not by a list.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pipelines
import pytest
import text_experiments
from disk_formats import write_classes
from tracing import Edited, Function, edited, functions, modules, reached

from trainables.attacks import ATTACKS
from trainables.audits import AUDITS
from trainables.data import DATASETS
from trainables.denoisers.digests import hashed
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.denoisers.recipes import BaseModel, ClassifierRecipe
from trainables.features import FEATURE_NETWORKS
from trainables.metrics import METRICS
from trainables.needs import SHARED
from trainables.relearning import products
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec
from trainables.relearning.origins import ORIGINS, parts_of
from trainables.relearning.products import Workbench
from trainables.relearning.stages.attack import AttackStage, attack_key
from trainables.relearning.stages.glance import GlanceStage
from trainables.relearning.stages.score import ScoreStage, make_score, score_key
from trainables.relearning.stages.trajectory import Trajectory, check_attack
from trainables.relearning.stages.unlearn import UnlearnStage, unlearned_key
from trainables.running.stopwatch import Stopwatch
from trainables.store import code
from trainables.store.code import NEUTRAL, ROOT, Code
from trainables.unlearning import METHODS

SAMPLES = Samples(forgotten=6, per_retained=2)
FAMILIES = (ATTACKS, AUDITS, DATASETS, FEATURE_NETWORKS, METHODS, METRICS, ORIGINS, SHARED)
METHOD_SETTINGS = {
    "dimum": {"replacement": "class_nearest"},
    "salun": {},
    "sfd": {},
    "meta(dimum)": {},
}
# Neither neutral by where they lie nor part of any product: what stands around the stages, and the door to Ray.
AROUND = (
    "trainables.trial",
    "trainables.relearning.trial",
    "trainables.relearning.gate",
    "trainables.relearning.export",
    "trainables.relearning.whole_pipeline",
    "trainables.denoisers.assembled",
    "trainables.relearning.shared_products",
    "trainables.training.gpu_memory",
    "trainables.training.failure",
    "trainables.denoisers.sizes",
    "trainables.denoisers.pipelines",
    "trainables.members",
)
# Every import asks it, once a test before has put it there; what it loads counts in keys by its content.
FINDER = "trainables.members"

Key = Callable[[], str]


@dataclass
class Made:
    """Products made once: of each its key, asked for anew whenever it is called, and the functions that made it."""

    keys: dict[str, Key]
    reached: dict[str, set[Function]]

    def now(self) -> dict[str, str]:
        return {name: key() for name, key in self.keys.items()}


class Makings:
    """Makes products one after the other, each in a process that has nothing in memory, and traces each."""

    def __init__(self) -> None:
        self.made = Made({}, {})

    def add(self, name: str, key: Key, make: Callable[[], Any]) -> None:
        self.made.reached[name] = reached(make)
        self.made.keys[name] = key

    def prepare(self, kind: str, experiment: Experiment) -> None:
        """What trials of the experiment share."""
        e = experiment

        def add(name: str, key: Callable[..., str], make: Callable[..., Any], *arguments: Any) -> None:
            self.add(f"{kind}: {name}", lambda: key(e, *arguments), lambda: make(e, *arguments))

        add("classifier", products.classifier_key, products.make_classifier)
        parts = parts_of(e)
        for name, part in parts.items():
            self.add(f"{kind}: {name}", part.key, part.make)
        add("base model", products.model_key, products.make_model, "base")
        if e.in_latents and "VAE" not in parts:
            self.add(f"{kind}: VAE", lambda: products.vae_key(e), lambda: None)  # made with the base model
            self.made.reached[f"{kind}: VAE"] = self.made.reached[f"{kind}: base model"]
        if not e.without_control:
            add("retrain control", products.model_key, products.make_model, "retrain")
        for number in range(e.shadow_models):
            add(f"shadow model {number}", products.shadow_key, products.make_shadow, number)
        if e.shadow_models:
            add("shadows", products.shadows_key, products.make_shadows)
        add("reference", products.reference_key, products.make_reference)
        add("synthetic set", products.synthetic_key, products.make_synthetic)
        self.add(
            f"{kind}: base score",
            lambda: score_key(e, products.model_key(e, "base"), SAMPLES, 0),
            lambda: make_score(e, products.model_key(e, "base"), SAMPLES, 0),
        )

    def share(self, kind: str, experiment: Experiment, names: list[str]) -> None:
        for name in names:
            self.add(
                f"{kind}: shared {name}",
                lambda name=name: products.shared_key(experiment, name),
                lambda name=name: products.make_shared(experiment, name),
            )

    def trial(self, kind: str, spec: TrialSpec) -> None:
        """The stages of a trial."""

        def score() -> ScoreStage:
            return ScoreStage(Workbench(spec.experiment), unlearned_key(spec), spec.samples, spec.seed)

        def unlearn() -> UnlearnStage:
            return UnlearnStage(Workbench(spec.experiment), spec)

        kind = f"{kind}: {spec.method}"
        self.add(f"{kind}, unlearned", lambda: unlearned_key(spec), lambda: finish(unlearn))
        self.add(f"{kind}, glance", lambda: GlanceStage(score()).key, lambda: finish(lambda: GlanceStage(score())))
        self.add(f"{kind}, score", lambda: score().key, lambda: finish(score))
        for attack in spec.attacks:
            for step in spec.rungs[1:]:

                def rung(attack: AttackPlan = attack, step: int = step) -> AttackStage:
                    check_attack(attack)
                    return AttackStage(Trajectory(Workbench(spec.experiment), spec, attack, unlearned_key(spec)), step)

                key = lambda attack=attack, step=step: attack_key(spec, attack, step, unlearned_key(spec))  # noqa: E731
                self.add(f"{kind}, {attack.name}@{step}", key, lambda rung=rung: finish(rung))


def finish(begin: Callable[[], Any]) -> None:
    """A stage stopped once and gone on with by another process."""
    stage = begin()
    if not stage.advance(Stopwatch(), 0.0):
        stage.save_partial()
        stage = begin()
    watch = Stopwatch()
    with watch.running():
        assert stage.advance(watch, float("inf"))
        stage.commit(watch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Every kind of product: of digits, a pipeline of latents, a folder of pictures, prompts, single images to forget."""
    for family in FAMILIES:
        family.names()  # imports the family's modules, which is no part of a making
    tiny = Experiment(
        store=str(tmp_path_factory.mktemp("store")),
        base=BaseModel(channels=(8, 8), train_steps=3, batch=8),
        classifier=ClassifierRecipe(width=4, features=8, train_steps=5, batch=16),
        sampling_steps=2,
        synthetic_per_condition=1,
        shadow_models=1,
    )
    steps = {"steps": 2, "batch": 8}
    dimra = AttackPlan("dimra", "dimra", {"auxiliary": "synthetic", "batch": 4})
    composition = AttackPlan("composition", "composition", {"auxiliary": "unrelated", "batch": 4, "personal_images": 2})
    spec = TrialSpec("t", 0, tiny, "dimum", {}, 0, (dimra, composition), (0, 1, 2), SAMPLES, 1)
    makings = Makings()
    makings.prepare("digits", tiny)
    makings.share("digits", tiny, SHARED.names())
    for method, settings in METHOD_SETTINGS.items():
        attacks = spec.attacks if method in ("dimum", "sfd") else ()
        makings.trial("digits", replace(spec, method=method, settings=steps | settings, attacks=attacks))

    folder = tmp_path_factory.mktemp("pipeline")
    pipelines.save_dit(folder)
    dit = hashed(fitted(read_pipeline(str(folder)), tiny.dataset))
    latents = replace(tiny, base=dit, shadow_models=0, image_sampler="dpm-solver++", guidance=2.0)
    makings.prepare("latents", latents)
    makings.add(
        "latents: own model",
        lambda: products.imported_key(latents, dit),
        lambda: products.make_imported(latents, dit),
    )
    makings.trial("latents", replace(spec, experiment=latents, method="esd", settings=steps, attacks=(dimra,)))

    folder = write_classes(tmp_path_factory.mktemp("pictures"), ("cat", "dog", "newt"), 10)
    disk = replace(tiny, data="image_folder", data_folder=str(folder), image_size=16, data_limit=9, shadow_models=0)
    disk = replace(disk, forget="1", features="efficientnet", data_fingerprint=disk.dataset.fingerprint())
    makings.prepare("disk", disk)

    text = text_experiments.experiment_of(replace(text_experiments.SDXL, train_steps=2), Path(tiny.store))
    makings.prepare("text", text)
    makings.trial("text", replace(spec, experiment=text, method="esd", settings=steps, attacks=()))

    images = replace(tiny, data="digits_duplicated", forget="instances:0,1", shadow_models=0)
    makings.prepare("images", images)
    makings.trial("images", replace(spec, experiment=images, method="siss", settings=steps, attacks=()))
    return makings.made


@pytest.fixture(scope="module")
def package() -> Code:
    """The package's code, read."""
    found = Code(ROOT)
    for module in modules():
        found.hash(module)
    return found


@pytest.fixture
def change(made: Made, package: Code, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], set[str]]:
    """The products whose keys change with a module's source."""
    monkeypatch.setattr(code, "_CODE", package)
    before = made.now()

    def changed(module: str, source: str) -> set[str]:
        monkeypatch.setattr(code, "_CODE", Edited(package, module, source))
        return {name for name, key in made.now().items() if key != before[name]}

    return changed


Change = Callable[[str, str], set[str]]


def is_neutral(module: str) -> bool:
    return module.startswith(tuple(f"trainables.{room}." for room in NEUTRAL))


def changed_by(change: Change, package: Code, module: str, of: list[Function]) -> set[str]:
    """The products whose keys change with any of a module's functions: asked of one of them, which stands for all.

    A key takes a module in by its syntax tree and imports alone: what one edit of the tree changes, another does.
    """
    before = package.parsed(module)
    for function in of:
        after = package._parse(module, edited(function))
        assert after.tree != before.tree and after.modules == before.modules, (
            f"{function}: an edit that its hash does not see"
        )
    return change(module, edited(of[0]))


def test_every_function_that_a_making_reaches_is_in_the_products_key(made: Made, package: Code, change: Change) -> None:
    every = {function for found in made.reached.values() for function in found}
    counted = sorted(f for f in every if not is_neutral(f.module) and f.module != FINDER)
    assert len(counted) > 200
    missed = []
    for module in sorted({function.module for function in counted}):
        changed = changed_by(change, package, module, [f for f in counted if f.module == module])
        for function in (f for f in counted if f.module == module):
            made_by_it = {name for name, by in made.reached.items() if function in by}
            missed += [f"{function} makes {name}" for name in sorted(made_by_it - changed)]
    assert not missed, "\n".join(missed)


def test_what_is_neutral_is_in_no_key(made: Made, package: Code, change: Change) -> None:
    neutral = [module for module in modules() if is_neutral(module) or module in AROUND]
    every = {module: list(functions(module)) for module in neutral}
    assert sum(map(len, every.values())) > 100
    changed = {module: changed_by(change, package, module, of) for module, of in every.items() if of}
    assert changed == {module: set() for module in changed}


SCORED = "(base score|, glance|, score|@)"
OF_ANY_MODEL = f"(unlearned|{SCORED})"


@pytest.mark.parametrize(
    ("module", "those_that_change"),
    [
        ("attacks.dimra", "dimra@"),
        ("attacks.composition", "composition@"),
        ("unlearning.dimum", r"dimum\b"),
        ("unlearning.meta", r"meta\("),
        ("unlearning.sfd", "sfd"),
        ("metrics.kid", SCORED),
        ("audits.shadow", SCORED),
        ("relearning.stages.score", SCORED),
        ("relearning.stages.attack", "@"),
        ("relearning.stages.glance", "glance"),
        ("needs.saliency", "(shared saliency|salun)"),
        ("relearning.origins.trained", "(digits|images|disk): (?!classifier|reference)"),
        ("data._files.pictures", "disk"),
        ("features.efficientnet", "disk: (reference|base score)"),
        ("features.classifier", "(digits|images|latents|text): (reference|base score)|, "),
        ("denoisers.imported", "latents: (?!classifier|reference)"),
        ("data.digits_duplicated", "images: (?!classifier)"),
        ("judges._classifier", f"(: classifier|: reference|: shared|{OF_ANY_MODEL})"),
        ("diffusion", "^((?!: classifier|: reference).)*$"),
        ("denoisers.vae", "text: (?!classifier|reference|CLIP|second CLIP|prompts)"),
        ("denoisers.clip", "text: (?!classifier|reference|VAE|latents)"),
        ("relearning.origins.text_to_image", "text: (?!classifier|reference|VAE|CLIP|second CLIP|latents|prompts)"),
        ("relearning.experiment", ""),
    ],
)
def test_a_change_goes_no_further_than_what_it_makes(
    made: Made, change: Change, module: str, those_that_change: str
) -> None:
    name = f"trainables.{module}"
    changed = change(name, f"{Code(ROOT).source(name)}\nmore = 1\n")
    assert changed == {product for product in made.keys if re.search(those_that_change, product)}


MOVES = {
    "trainables/diffusion.py": "trainables/training/denoising.py",
    "trainables/training/device.py": "trainables/where.py",
    "trainables/unlearning": "trainables/methods",
    "trainables/relearning/workbench.py": "trainables/bench.py",
    "trainables/store/node_cache.py": "trainables/store/files/cache.py",
}


def test_a_move_changes_no_modules_hash(tmp_path: Path, package: Code) -> None:
    """In a copy of the package whose imports are rewritten and sorted anew, every module has the hash that it had."""
    shutil.copytree(ROOT, tmp_path / "trainables", ignore=shutil.ignore_patterns("__pycache__"))
    for old, new in MOVES.items():
        (tmp_path / new).parent.mkdir(exist_ok=True)
        (tmp_path / old).rename(tmp_path / new)
    names = {dotted(old): dotted(new) for old, new in MOVES.items()}

    def moved(text: str) -> str:
        return re.sub(rf"\b({'|'.join(map(re.escape, names))})\b", lambda found: names[found[1]], text)

    for file in (tmp_path / "trainables").rglob("*.py"):
        file.write_text(moved(file.read_text()))
    ruff = [str(Path(sys.executable).parent / "ruff"), "check", "--isolated", "--select", "I", "--fix", "--quiet"]
    subprocess.run([*ruff, str(tmp_path / "trainables")], check=True, cwd=tmp_path)
    after = Code(tmp_path / "trainables")
    assert {m: after.hash(moved(m)) for m in modules()} == {m: package.hash(m) for m in modules()}
    assert (tmp_path / "trainables/training/denoising.py").exists() and "trainables.diffusion" in modules()


def dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")
