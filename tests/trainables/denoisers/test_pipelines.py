"""Pipelines that others saved: the same predictions, every reason why one cannot be used, and a whole trial on one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pipelines
import pytest
import torch
from safetensors.torch import load_file, save_file
from taken_pipelines import experiment_on, taken

from trainables.data import DATASETS
from trainables.denoisers.dit import decode, encode
from trainables.denoisers.imported import imported_model
from trainables.denoisers.models import LORA, TRAINED_PARAMETERS, trained_parameters
from trainables.denoisers.pipelines import is_hub_id, located
from trainables.diffusion import predict
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec
from trainables.relearning.products import (
    Workbench,
    imported_key,
    make_classifier,
    make_imported,
    make_model,
    make_reference,
    make_synthetic,
    model_key,
    shadow_key,
    vae_key,
)
from trainables.relearning.products.images import forget_set_of
from trainables.relearning.products.latents import encoded_sets_of, encoded_splits_of, vae_of
from trainables.relearning.products.synthetic import synthetic_of
from trainables.relearning.stages.score import make_score
from trainables.relearning.trial import Pipeline
from trainables.store import Store

DIGITS = DATASETS["digits"]
SAMPLES = Samples(forgotten=6, per_retained=2)
X, T = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 500, 999])
C = torch.tensor([0, 3, 9, 9])


@torch.no_grad()
def epsilon(model: torch.nn.Module, x: torch.Tensor = X, c: torch.Tensor = C) -> torch.Tensor:
    return predict(model, x, T, c)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pipeline"


@pytest.mark.parametrize("save", [pipelines.save_ddpm, pipelines.save_ddim])
@pytest.mark.parametrize("classes", [10, 11], ids=["without a null row", "with one"])
def test_a_class_conditional_pipeline_predicts_what_it_predicted(folder: Path, classes: int, save: Callable) -> None:
    theirs = pipelines.unet(classes)
    save(folder, theirs)
    found = taken(folder)
    ours = imported_model(found, DIGITS)
    with torch.no_grad():
        torch.testing.assert_close(epsilon(ours), theirs(X, T, class_labels=C).sample)
        null = epsilon(ours, c=torch.full((4,), 10))
        if classes == 11:
            torch.testing.assert_close(null, theirs(X, T, class_labels=torch.full((4,), 10)).sample)
    assert ours.class_embedding.num_embeddings == 11
    assert (found.null, found.label_dropout) == ((True, 0.1) if classes == 11 else (False, 0.0))


def test_an_unconditional_pipeline_predicts_what_it_predicted(folder: Path) -> None:
    theirs = pipelines.unet(None)
    pipelines.save_ddpm(folder, theirs)
    ours = imported_model(taken(folder, "digits_duplicated"), DATASETS["digits_duplicated"])
    with torch.no_grad():
        torch.testing.assert_close(epsilon(ours, c=torch.zeros(4, dtype=torch.int64)), theirs(X, T).sample)


def test_some_classes_of_a_pipeline_can_be_a_data_sets_conditions(folder: Path) -> None:
    theirs, rows = pipelines.unet(1000), (900, 5, 17, 3, 4, 6, 8, 7, 2, 1)
    pipelines.save_ddpm(folder, theirs)
    ours = imported_model(taken(folder, rows=rows), DIGITS)
    with torch.no_grad():
        torch.testing.assert_close(epsilon(ours), theirs(X, T, class_labels=torch.tensor(rows)[C]).sample)
    assert taken(folder, rows=rows).identity != taken(folder, rows=rows[::-1]).identity


def test_a_dit_predicts_epsilon_without_its_variances_and_draws_nothing(folder: Path) -> None:
    theirs = pipelines.save_dit(folder).transformer
    ours = imported_model(taken(folder), DIGITS).train()
    x, before = torch.randn(4, 4, 4, 4), torch.get_rng_state()
    for conditions in (C, torch.full((4,), 10)):
        with torch.no_grad():
            expected = theirs(x, timestep=T, class_labels=conditions).sample[:, :4]
            torch.testing.assert_close(epsilon(ours, x, conditions), expected)
    assert torch.equal(torch.get_rng_state(), before), "its own label dropout is off"
    chosen = imported_model(taken(folder, rows=(9, 8, 7, 6, 5, 4, 3, 2, 1, 0)), DIGITS)
    torch.testing.assert_close(epsilon(chosen, x, 9 - C), epsilon(ours.eval(), x, C))


def test_every_name_of_trained_parameters_finds_some_in_a_dit_but_the_middle_block(folder: Path) -> None:
    pipelines.save_dit(folder)
    model = imported_model(taken(folder), DIGITS)
    of_any = [which for which in TRAINED_PARAMETERS if which != LORA and not which.startswith("cross_attention")]
    found = {which: set(trained_parameters(model, which)) for which in of_any}
    assert all(".attn1." in name for name in found["attention"])
    assert found["condition"] | found["rest"] == found["all"] and not found["condition"] & found["rest"]
    assert found["condition_mid"] < found["condition"]


def test_what_is_read_in_a_pipelines_files_is_part_of_what_it_is_and_where_they_lie_is_not(folder: Path) -> None:
    """Were they read in another way, the model would be used in another way: its key has to know."""
    pipelines.save_ddpm(folder, pipelines.unet(10))
    found = taken(folder)
    elsewhere = replace(found, source="owner/name", folder="elsewhere", commit="0" * 40)
    assert elsewhere.identity == found.identity
    otherwise = [
        replace(found, null=True),
        replace(found, classes=11),
        replace(found, schedule=replace(found.schedule, clip_sample=False)),
        replace(found, batch=2),
    ]
    assert not any(other.identity == found.identity for other in otherwise)


def test_the_digest_is_of_what_the_files_hold_and_not_of_where_they_lie(folder: Path, tmp_path: Path) -> None:
    pipelines.save_ddpm(folder, pipelines.unet(10))
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert taken(folder).identity == taken(elsewhere).identity
    (elsewhere / "README.md").write_text("of no consequence")
    assert taken(folder).identity == taken(elsewhere).identity
    weights = elsewhere / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert taken(folder).identity != taken(elsewhere).identity


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickled(root: Path) -> None:
    weights = root / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no pipeline": (lambda r: (r / "model_index.json").unlink(), "not a diffusers pipeline"),
    "no folder": (shutil.rmtree, "no such folder"),
    "another pipeline": (
        lambda r: edit(r / "model_index.json", _class_name="StableDiffusionInpaintPipeline"),
        "StableDiffusionInpaintPipeline is none of DDPMPipeline",
    ),
    "code of its own": (
        lambda r: edit(r / "model_index.json", unet=["my_unet", "MyUNet"]),
        "code of a model is never run",
    ),
    "another model": (
        lambda r: edit(r / "model_index.json", unet=["diffusers", "UNet1DModel"]),
        "unet is a UNet1DModel; known: UNet2DModel",
    ),
    "pickles": (pickled, "its weights are pickles (diffusion_pytorch_model.bin)"),
    "no weights": (
        lambda r: (r / "unet" / "diffusion_pytorch_model.safetensors").unlink(),
        "no safetensors weights in it",
    ),
    "no configuration": (lambda r: (r / "unet" / "config.json").unlink(), "denoiser is not there"),
    "no scheduler": (lambda r: shutil.rmtree(r / "scheduler"), "scheduler is not there"),
    "not JSON": (lambda r: (r / "unet" / "config.json").write_text("{"), "cannot be read as JSON"),
    "a prediction of x": (
        lambda r: edit(r / "scheduler" / "scheduler_config.json", prediction_type="sample"),
        "prediction_type 'sample': only models that predict epsilon or v_prediction can be taken",
    ),
    "thresholding": (lambda r: edit(r / "scheduler" / "scheduler_config.json", thresholding=True), "sets thresholding"),
    "sigmoid": (
        lambda r: edit(r / "scheduler" / "scheduler_config.json", beta_schedule="sigmoid"),
        "'sigmoid' is none of linear",
    ),
    "flow matching": (
        lambda r: (r / "scheduler" / "scheduler_config.json").write_text(
            '{"_class_name": "FlowMatchEulerDiscreteScheduler"}'
        ),
        "FlowMatchEulerDiscreteScheduler has no beta_schedule",
    ),
    "learned variances": (lambda r: edit(r / "unet" / "config.json", out_channels=2), "learned variances"),
    "no size": (lambda r: edit(r / "unet" / "config.json", sample_size=None), "names no sample_size"),
    "timestep classes": (lambda r: edit(r / "unet" / "config.json", class_embed_type="timestep"), "class_embed_type"),
    "size": (
        lambda r: edit(r / "unet" / "config.json", sample_size=16),
        "it makes 1×16×16 images, but digits has 1×8×8",
    ),
    "classes": (lambda r: edit(r / "unet" / "config.json", num_class_embeds=7), "it has 7 classes, but digits has 10"),
    "unconditional": (lambda r: edit(r / "unet" / "config.json", num_class_embeds=None), "it is unconditional, but"),
    "a word for a number": (
        lambda r: edit(r / "unet" / "config.json", in_channels="1"),
        "in_channels is '1', where a whole",
    ),
    "a float for a whole number": (
        lambda r: edit(r / "unet" / "config.json", in_channels=1.0),
        "in_channels is 1.0, where a whole number belongs",
    ),
    "half a pixel": (lambda r: edit(r / "unet" / "config.json", sample_size=8.5), "sample_size is 8.5, where a whole"),
    "three sides": (lambda r: edit(r / "unet" / "config.json", sample_size=[8, 8, 8]), "neither a side nor"),
    "a size in words": (
        lambda r: edit(r / "unet" / "config.json", sample_size="8"),
        "sample_size is '8', where a whole",
    ),
    "classes in words": (
        lambda r: edit(r / "unet" / "config.json", num_class_embeds="ten"),
        "num_class_embeds is 'ten'",
    ),
    "Fourier features of t": (
        lambda r: edit(r / "unet" / "config.json", time_embedding_type="fourier"),
        "time_embedding_type 'fourier'",
    ),
    "an index that is a list": (lambda r: (r / "model_index.json").write_text("[]"), "not a JSON object"),
    "shards in a list": (
        lambda r: (
            (r / "unet" / "diffusion_pytorch_model.safetensors").rename(r / "unet" / "a.safetensors"),
            (r / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(
                '{"weight_map": ["a.safetensors"]}'
            ),
        ),
        "it has no weight_map",
    ),
    "too few betas": (
        lambda r: edit(r / "scheduler" / "scheduler_config.json", trained_betas=[0.1, 0.2]),
        "2 trained_betas for 1000 training timesteps",
    ),
    "a beta above 1": (
        lambda r: edit(r / "scheduler" / "scheduler_config.json", beta_end=1.5),
        "each β must be a number",
    ),
    "a beta in words": (
        lambda r: edit(r / "scheduler" / "scheduler_config.json", beta_start="small"),
        "each β must be a",
    ),
    "half a timestep": (
        lambda r: edit(r / "scheduler" / "scheduler_config.json", num_train_timesteps=999.5),
        "num_train_timesteps must be a whole number",
    ),
    "timesteps in words": (
        lambda r: edit(r / "scheduler" / "scheduler_config.json", num_train_timesteps="many"),
        "num_train_timesteps must be a whole number",
    ),
    "an unknown spacing": (
        lambda r: edit(r / "scheduler" / "scheduler_config.json", timestep_spacing="sideways"),
        "timestep_spacing 'sideways' is none of leading",
    ),
}


def in_the_root(folder: Path) -> None:
    """As older pipelines of UNets lie: ``config.json``, weights and ``scheduler_config.json`` beside ``model_index.json``."""
    for part in ("unet", "scheduler"):
        for file in (folder / part).iterdir():
            file.rename(folder / file.name)
        (folder / part).rmdir()


ODD: dict[str, Callable[[Path], object]] = {
    "in the root": in_the_root,
    "a size as a float": lambda r: edit(r / "unet" / "config.json", sample_size=8.0),
    "a height and a width": lambda r: edit(r / "unet" / "config.json", sample_size=[8, 8]),
    "a byte order mark": lambda r: (r / "model_index.json").write_text(
        "\ufeff" + (r / "model_index.json").read_text(), encoding="utf-8"
    ),
    "an option of a newer diffusers": lambda r: edit(r / "unet" / "config.json", flux_capacitor=True),
    "an option of a newer scheduler": lambda r: edit(r / "scheduler" / "scheduler_config.json", warp=9),
    "timesteps as a float": lambda r: edit(r / "scheduler" / "scheduler_config.json", num_train_timesteps=1000.0),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("classes", [10, None], ids=["conditional", "unconditional"])
def test_a_pipeline_that_is_laid_out_or_written_oddly_predicts_what_it_predicted(
    odd: str, classes: int | None, folder: Path
) -> None:
    theirs, data = pipelines.unet(classes), "digits" if classes else "digits_duplicated"
    pipelines.save_ddpm(folder, theirs)
    plain = taken(folder, data)
    ODD[odd](folder)
    found = taken(folder, data)
    assert found.schedule == plain.schedule and found.shape == plain.shape == (1, 8, 8)
    ours, conditions = imported_model(found, DATASETS[data]), C if classes else torch.zeros_like(C)
    with torch.no_grad():
        expected = theirs(X, T, **({"class_labels": C} if classes else {})).sample
        torch.testing.assert_close(epsilon(ours, c=conditions), expected)


def test_linspace_is_taken_for_ddims_own_spacing_whose_steps_its_step_takes(folder: Path) -> None:
    pipelines.save_ddim(folder, pipelines.unet(10), timestep_spacing="linspace")
    schedule = taken(folder).schedule.scheduler()
    schedule.set_timesteps(10)
    assert (-schedule.timesteps.diff() == 100).all(), "as far apart as DDIM's step goes"


def test_weights_that_are_no_numbers_are_said(folder: Path) -> None:
    model = pipelines.unet(10)
    with torch.no_grad():
        model.conv_in.weight[0] = float("nan")
    pipelines.save_ddpm(folder, model)
    with pytest.raises(ValueError, match=r"unet has weights that are no finite numbers, in conv_in\.weight"):
        imported_model(taken(folder), DIGITS)


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_used_is_refused_in_one_line(damage: str, folder: Path) -> None:
    pipelines.save_ddpm(folder, pipelines.unet(10))
    spoil, said = DAMAGE[damage]
    spoil(folder)
    with pytest.raises(ValueError) as error:
        taken(folder)
    assert said in str(error.value) and "\n" not in str(error.value) and str(folder) in str(error.value)


def test_a_conditional_pipeline_is_refused_for_data_without_conditions_and_wrong_classes_too(folder: Path) -> None:
    pipelines.save_ddpm(folder, pipelines.unet(10))
    with pytest.raises(ValueError, match="class-conditional, but digits_duplicated has no conditions"):
        taken(folder, "digits_duplicated")
    with pytest.raises(ValueError, match="class 10 is asked for, but it has 0 to 9"):
        taken(folder, rows=tuple(range(1, 11)))
    with pytest.raises(ValueError, match="2 classes are chosen, but digits has 10"):
        taken(folder, rows=(1, 2))


def test_shards_are_read_by_their_index_and_a_missing_one_is_named(folder: Path) -> None:
    pipeline = pipelines.save_ddpm(folder, pipelines.unet(10))
    whole = imported_model(taken(folder), DIGITS).state_dict()
    shutil.rmtree(folder / "unet")
    pipeline.unet.save_pretrained(folder / "unet", max_shard_size="20KB")
    parts = sorted((folder / "unet").glob("*.safetensors"))
    assert len(parts) > 1
    again = imported_model(taken(folder), DIGITS).state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    parts[0].unlink()
    with pytest.raises(ValueError, match=f"its index names {parts[0].name}"):
        taken(folder)


def test_damaged_weights_and_missing_ones_are_said_and_never_made_up(folder: Path) -> None:
    pipelines.save_ddpm(folder, pipelines.unet(10))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    del tensors["conv_in.bias"]
    save_file(tensors, weights)
    with pytest.raises(ValueError, match=r"unet lacks 1 of its weights, conv_in\.bias among them"):
        imported_model(taken(folder), DIGITS)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="unet cannot be read") as error:
        imported_model(taken(folder), DIGITS)
    assert "\n" not in str(error.value)
    edit(folder / "unet" / "config.json", block_out_channels=[16, 16])
    save_file(tensors, weights)
    with pytest.raises(ValueError, match="unet cannot be read"):
        imported_model(taken(folder), DIGITS)


def test_a_hub_id_is_told_from_a_path_and_an_unreachable_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_hub_id("owner/name") and not any(map(is_hub_id, ("./a/b", "/a/b", "name", "a/b/c", "~/a")))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="owner/no-such-model: neither a folder nor to be had from the hub"):
        located("owner/no-such-model")
    with pytest.raises(ValueError, match="a revision is of a hub id"):
        located("/somewhere", "main")


def trial_on(experiment: Experiment, **changes: object) -> TrialSpec:
    make_classifier(experiment)
    make_model(experiment, "base")
    make_reference(experiment)
    make_synthetic(experiment)
    make_score(experiment, model_key(experiment, "base"), SAMPLES, 0)
    spec = TrialSpec(
        "trial", 0, experiment, "dimum", {"steps": 2, "batch": 8, "replacement": "class_nearest"}, 0,
        (AttackPlan("a", "dimra", {"auxiliary": "synthetic", "batch": 4}),
         AttackPlan("b", "dimra", {"auxiliary": "public", "batch": 4})), (0, 1, 2),
        samples=SAMPLES, attacked_per_retained=2,
    )  # fmt: skip
    return TrialSpec.from_json(json.loads(json.dumps(replace(spec, **changes).to_json())))  # type: ignore[arg-type]


def figures_of(spec: TrialSpec) -> dict:
    pipeline = Pipeline(spec)
    report = pipeline.step()
    while report.state is None:
        report = pipeline.step()
    assert report.state == "COMPLETE", report.cause
    return report.figures


def test_a_whole_trial_runs_on_an_imported_pipeline_without_its_folder_and_with_its_schedule(
    folder: Path, tmp_path: Path
) -> None:
    pipelines.save_ddpm(folder, pipelines.unet(11), beta_schedule="squaredcos_cap_v2", num_train_timesteps=400)
    other = tmp_path / "control"
    pipelines.save_ddpm(other, pipelines.unet(11, seed=1), beta_schedule="squaredcos_cap_v2", num_train_timesteps=400)
    experiment = experiment_on(taken(folder), tmp_path / "store", control=taken(other))
    spec = trial_on(experiment)
    make_model(experiment, "retrain")
    shutil.rmtree(folder)
    assert spec.experiment == experiment, "it travels as JSON"
    assert spec.experiment.noise_schedule().config["num_train_timesteps"] == 400
    assert 0 <= figures_of(spec)["robustness"] <= 1
    control = figures_of(replace(spec, method="none", settings={}, start="retrain"))
    assert control["unlearned_model"] == model_key(experiment, "retrain") != model_key(experiment, "base")


def test_a_control_is_another_product_beside_another_base_whose_schedule_it_is_sampled_by(
    folder: Path, tmp_path: Path
) -> None:
    other, third = tmp_path / "control", tmp_path / "base"
    pipelines.save_ddpm(folder, pipelines.unet(11))
    pipelines.save_ddpm(other, pipelines.unet(11, seed=1))
    pipelines.save_ddpm(third, pipelines.unet(11), clip_sample=False)
    keys = {
        model_key(experiment_on(taken(base), tmp_path / "store", control=taken(other)), "retrain")
        for base in (folder, third)
    }
    assert len(keys) == 2


def test_a_whole_trial_runs_in_the_latents_of_a_dit(folder: Path, tmp_path: Path) -> None:
    pipelines.save_dit(folder)
    experiment = experiment_on(taken(folder), tmp_path / "store", guidance=2.0, image_sampler="dpm-solver++")
    figures = figures_of(trial_on(experiment))
    assert figures["sampler"] == "dpmsolver++-2-cfg2"
    bench, store = Workbench(experiment), Store(experiment.store)
    assert encoded_splits_of(bench).train.images.shape[1:] == synthetic_of(bench).images.shape[1:] == (4, 4, 4)
    assert len(encoded_sets_of(bench)[0]) == len(forget_set_of(bench))
    shown = store.get(figures["score"]).tensors()["retained"]
    assert shown.shape[1:] == (1, 8, 8) and abs(shown).max() <= 1
    assert store.find(vae_key(experiment)) is not None


def test_latents_are_scaled_as_the_pipeline_scales_them(folder: Path, tmp_path: Path) -> None:
    pipeline = pipelines.save_dit(folder)
    experiment = experiment_on(taken(folder), tmp_path / "store")
    make_model(experiment, "base")
    vae, images = vae_of(Workbench(experiment)), torch.rand(3, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        theirs = pipeline.vae.encode(images).latent_dist.mean * 0.7
        torch.testing.assert_close(encode(vae, images), theirs)
        torch.testing.assert_close(decode(vae, theirs), pipeline.vae.decode(theirs / 0.7).sample.clamp(-1, 1))


def test_without_a_control_the_reason_is_known_and_nobody_can_ask_for_its_key(folder: Path, tmp_path: Path) -> None:
    pipelines.save_ddpm(folder, pipelines.unet(10))
    experiment = experiment_on(taken(folder), tmp_path / "store")
    assert "no --retrain-control was given" in (experiment.without_control or "")
    with pytest.raises(ValueError, match="retrain"):
        model_key(experiment, "retrain")
    with pytest.raises(ValueError, match="shadow-0"):
        shadow_key(experiment, 0)


def test_a_strangers_unlearned_model_is_a_trials_start(experiment: Experiment, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    pipelines.save_ddim(folder, pipelines.unet(11))
    found = taken(folder)
    key = make_imported(experiment, found).key
    assert key == imported_key(experiment, found) != imported_key(replace(experiment, base_seed=1), found)
    spec = TrialSpec(
        "theirs", 0, experiment, "none", {}, 0, (AttackPlan("a", "dimra", {"batch": 4}),), (0, 1),
        samples=Samples(8, 4), attacked_per_retained=1, start=key,
    )  # fmt: skip
    figures = figures_of(spec)
    assert figures["unlearned_model"] == figures["base_model"] == key and figures["fid_delta"] != 0


def test_a_model_of_another_schedule_is_refused_beside_the_base_model(experiment: Experiment, tmp_path: Path) -> None:
    pipelines.save_ddim(tmp_path / "cosine", pipelines.unet(11), beta_schedule="squaredcos_cap_v2")
    with pytest.raises(ValueError, match="noise schedule is not the base model's"):
        make_imported(experiment, taken(tmp_path / "cosine"))
