"""The unlearning stage on an imported text-to-image pipeline: closed forms and fine-tuning alike, and what is kept of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import text_folders
import torch
from taken_pipelines import experiment_on, taken

from trainables.denoisers.text_unet import TextUNet
from trainables.denoisers.weights import whole_weights
from trainables.relearning.experiment import AttackPlan, Experiment, TrialSpec
from trainables.relearning.origins import parts_of
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.products.models import model_of
from trainables.relearning.shared_products import BASE, CLASSIFIER, products_of
from trainables.relearning.stages.unlearn import UnlearnStage, unlearned_key
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact

KEYS_AND_VALUES = (".attn2.to_k.weight", ".attn2.to_v.weight")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """SDXL's layout with random weights, told the prompts of digits in styles; threes are forgotten."""
    root = tmp_path_factory.mktemp("xl")
    base = taken(text_folders.SAVED["xl"](root / "pipeline"), "digits_styled")
    experiment = experiment_on(base, root / "store", data="digits_styled", forget="concept:three")
    graph = products_of(experiment)
    for name in (*parts_of(experiment), BASE, CLASSIFIER):
        graph[name].make()
    return Workbench(experiment)


def spec_of(experiment: Experiment, method: str, settings: dict[str, Any]) -> TrialSpec:
    return TrialSpec("t", 0, experiment, method, settings, 3, (AttackPlan("a", "dimra", {}),), (0, 1))


def unlearned(bench: Workbench, method: str, **settings: Any) -> Artifact:
    """θᵤ, of a stage that is stopped after every step and gone on with by another."""
    one = UnlearnStage(bench, spec_of(bench.experiment, method, settings))
    while not one.advance(Stopwatch(), float("-inf")):
        one.save_partial()
        one = UnlearnStage(bench, one.spec)
    return one.commit(Stopwatch())


def changed(bench: Workbench, artifact: Artifact) -> set[str]:
    before, after = model_of(bench, model_key(bench.experiment, "base")).state_dict(), whole_weights(artifact)
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_closed_form_keeps_the_few_weights_that_it_edits_and_says_how_it_went(bench: Workbench) -> None:
    uce, rece = unlearned(bench, "uce", preserve=20), unlearned(bench, "rece", rounds=2, preserve=20)
    for artifact, edits in ((uce, 1), (rece, 3)):
        kept = set(artifact.tensors())
        assert kept == changed(bench, artifact)
        assert all(name.endswith(KEYS_AND_VALUES) or name == "add_embedding.linear_1.weight" for name in kept)
        assert "add_embedding.linear_1.weight" in kept and len(artifact.facts["edits"]) == edits
        assert artifact.facts["last_loss"] == artifact.facts["edits"][-1]["loss"] > 0
    assert rece.facts["edits"][2]["value_distance"] > 0


def test_the_edited_model_makes_of_a_forgotten_prompts_last_word_what_its_anchors_was(bench: Workbench) -> None:
    """With little holding on to W₀, W c_f comes nearer to W₀ a_f: all the way there 30 tokens of 20 dimensions cannot come."""
    artifact = unlearned(bench, "uce", ridge=1e-3, preserve_scale=0.0)
    before, after = (model_of(bench, key) for key in (model_key(bench.experiment, "base"), artifact.key))
    assert isinstance(before, TextUNet)
    table, forgetting = before.prompts, bench.experiment.forgetting
    c, a = (
        torch.stack([table.context[row, int(table.real[row]) - 2] for row in rows])
        for rows in (forgetting.conditions, forgetting.anchors)
    )
    (old, new) = (
        torch.cat([p.detach() for n, p in model.named_parameters() if n.endswith(KEYS_AND_VALUES)])
        for model in (before, after)
    )
    now, then = (c @ new.T - a @ old.T).norm(), (c @ old.T - a @ old.T).norm()
    assert now < 0.5 * then, (now, then)


def test_meta_around_a_closed_form_and_esd_x_strict_run_through_the_stage(bench: Workbench) -> None:
    few: dict[str, Any] = {"steps": 2, "batch": 4}
    meta = unlearned(bench, "meta(uce)", **few, meta_inner_batch=4, trained_parameters="cross_attention")
    assert changed(bench, meta) <= {n for n in meta.tensors() if ".attn2." in n or n.startswith("add_embedding.")}
    assert len(meta.facts["edits"]) == 1
    esd = unlearned(bench, "esd", **few, chain_steps=2, trained_parameters="cross_attention_kv")
    assert changed(bench, esd) == set(esd.tensors()) and all(n.endswith(KEYS_AND_VALUES) for n in esd.tensors())


def test_what_cannot_be_is_refused_before_a_model_is_loaded(bench: Workbench) -> None:
    for method, complaint in (("sfd", "makes a one-step generator"), ("siss", "forgets instances, not concept:three")):
        with pytest.raises(ValueError, match=complaint):
            unlearned_key(spec_of(bench.experiment, method, {}))
    digits = replace(bench.experiment, data="digits", forget="3")
    with pytest.raises(ValueError, match="a class-conditional model has none of"):
        unlearned_key(spec_of(digits, "uce", {}))
