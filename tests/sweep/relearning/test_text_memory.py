"""What trials of Stable Diffusion's own U-Net take, by its configuration: told, refused with the cheapest mend, or let pass."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import text_folders
from judge_folders import write_clip
from transformers import CLIPModel

from sweep import launch
from sweep.errors import UsageError
from sweep.plan.place import Place
from sweep.relearning import fitting
from sweep.relearning.attacks import trains_on
from sweep.relearning.fitting import Fit, fit_of
from sweep.relearning.held_settings import with_settings
from sweep.relearning.setup import Setup
from sweep.relearning.text_memory import How, Run, TextModel, runs_of
from sweep.space import Arm, Attack, Choice, Constraint, Objective, SearchSpace, Value, find
from sweep.track import __main__ as tracks
from trainables.data import Dataset, dataset
from trainables.forgetting import parse_forget

GB = 10**9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.4's true configurations, of 512 pixels; the weights are a tiny pipeline's, which no plan reads."""
    return text_folders.save_true_sd(tmp_path_factory.mktemp("base") / "sd")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough images of each prompt for every attack of the questions' suites; they are read at 512 pixels a side."""
    return text_folders.save_prompts(tmp_path_factory.mktemp("data") / "prompts", images=40)


@pytest.fixture(scope="module")
def prompts(data: Path) -> Dataset:
    return dataset("prompts", str(data), 0)


def asked(arm: Arm, *attacks: Attack) -> SearchSpace:
    objectives = (Objective("robustness", "maximise"), Objective("fid_delta", "minimise"))
    bounds = (Constraint("fid_delta", at_most="fid_budget"),)
    return SearchSpace("q", "?", (arm,), objectives, bounds, attacks, attacks, (0, 1))


def fitted(folder: Path, prompts: Dataset, space: SearchSpace, place: Place, precision: str = "auto") -> Fit:
    fit = fit_of(str(folder), prompts, (), 200, True, space, place, precision)
    assert fit is not None
    return fit


def peak(folder: Path, prompts: Dataset, run: Run, how: How) -> float:
    model = fitted(folder, prompts, find.load("dimum_robustness"), Place()).model
    assert isinstance(model, TextModel)
    return model.peak(run, how).bytes / GB


VAE = 4 * 0.0837  # GB of its weights


def test_what_a_run_takes_is_what_was_worked_out_by_hand(folder: Path, prompts: Dataset) -> None:
    """4 bytes each of 859.5 M weights, gradients, and twice that of moments; autocast's copies; four images' activations; a VAE."""
    gpu, plain = How(on_gpu=True, half=True, checkpointing=True), How(on_gpu=True, half=True)
    whole = Run("a", "dimum", {"batch": 4, "ema_decay": 0.0})
    by_hand = 4 * 4 * 0.8595 + 2 * 0.8595 + 4 * 0.271 + VAE + 1.6
    assert peak(folder, prompts, whole, gpu) == pytest.approx(by_hand, rel=0.02)
    assert peak(folder, prompts, whole, plain) == pytest.approx(by_hand + 4 * (1.245 - 0.271), rel=0.02)
    averaged = Run("a", "dimum", {"batch": 4, "ema_decay": 0.9})
    assert peak(folder, prompts, averaged, gpu) - peak(folder, prompts, whole, gpu) == pytest.approx(
        4 * 0.8595, rel=0.01
    )
    cross = Run("a", "dimum", {"batch": 4, "ema_decay": 0.0, "trained_parameters": "cross_attention"})
    frozen = 2 * (0.8595 - 0.044) + 4 * 0.044
    assert peak(folder, prompts, cross, plain) == pytest.approx(
        frozen + 3 * 4 * 0.044 + 4 * 1.245 + VAE + 1.7, rel=0.03
    )
    esd = Run("a", "esd", dict(cross.settings))
    teacher = 2 * 0.8595 + 4 * 0.044  # and the gradients of a second pass, which wait for those of the first
    assert peak(folder, prompts, esd, plain) - peak(folder, prompts, cross, plain) == pytest.approx(teacher, rel=0.02)
    edit = Run("a", "uce", {})
    assert peak(folder, prompts, edit, plain) < 8


KV = 4 * 0.0192  # GB of keys and values in float32


@pytest.mark.parametrize(
    ("run", "by_hand"),
    [
        (Run("a", "textual_inversion", {"batch": 4}, attacks=True), 4 * 0.8595 + 1.72 + 4 * 1.245),
        (Run("a", "dreambooth_forgotten", {"batch": 2}, attacks=True), 16 * 0.8595 + 1.72 + 4 * 1.245),
        (Run("a", "dreambooth_forgotten", {"batch": 4, "prior_weight": 0.0}, attacks=True), 16 * 0.8595 + 1.72 + 4 * 1.245),
        (Run("a", "mace", {"attention_batch": 4}), 2 * 1.72 + 3 * KV + 4 * 1.245),
        (Run("a", "adv_unlearn", {"retain_batch": 5}), 1.72 + 2 * 0.8595 + 5 * 1.245),
        (Run("a", "adv_unlearn", {"retain_weight": 0.0, "batch": 6}), 1.72 + 2 * 0.8595 + 6 * 1.245),
    ],
    ids=lambda value: value.method if isinstance(value, Run) else "",
)  # fmt: skip
def test_what_trains_no_weight_of_the_unet_is_counted_by_what_it_holds(
    folder: Path, prompts: Dataset, run: Run, by_hand: float
) -> None:
    """Frozen weights in bf16, θ₀ where it is asked, activations; an attack is diagnosed by the gradient of whole weights."""
    assert peak(folder, prompts, run, How(on_gpu=True, half=True)) == pytest.approx(by_hand + VAE + 1.6, rel=0.02)


def test_text_encoders_are_counted_where_they_train(folder: Path, prompts: Dataset, tmp_path: Path) -> None:
    """1.4's own has 123 million numbers: its weights, gradients and two moments, and what is left of them on disk."""
    model = fitted(folder, prompts, find.load("dimum_robustness"), Place()).model
    small, true = model.encoders, text_folders.save_true_encoder(folder, tmp_path / "sd")
    larger = fitted(true, prompts, find.load("dimum_robustness"), Place()).model
    assert larger.encoders == pytest.approx(123.06e6, rel=1e-3)
    run, how = Run("a", "adv_unlearn", {}), How(on_gpu=True, half=True)
    added = larger.encoders - small
    assert larger.peak(run, how).bytes - model.peak(run, how).bytes == pytest.approx(16 * added)
    assert larger.disk([run]) == 16 * larger.encoders
    inversion = Run("a", "textual_inversion", {"batch": 4}, attacks=True)
    assert larger.peak(inversion, how).bytes - model.peak(inversion, how).bytes == pytest.approx(4 * added)
    assert larger.disk([inversion]) == 0


def test_the_probe_holds_both_models_whole_and_keeps_no_activations(folder: Path, prompts: Dataset) -> None:
    parts = fitted(folder, prompts, find.load("dimum_robustness"), Place()).model
    run = Run("a", "derived_embedding", {}, attacks=True)
    assert run.batch == 0 and parts.disk([run]) == 0
    peak = parts.peak(run, How(on_gpu=True, half=True))
    assert peak.parts["θ₀"] == 4 * parts.parameters and peak.parts["weights"] >= 4 * parts.parameters


def test_what_a_process_keeps_between_trials_is_there_at_every_moment(
    folder: Path, data: Path, prompts: Dataset, tmp_path: Path
) -> None:
    """The judge by its files, the VAE, and with every model a table of all prompts and the empty one, 237 kB each."""
    clip = write_clip(tmp_path / "clip", ("a", "photo", "of", "cat", "dog"))
    numbers = sum(p.numel() for p in CLIPModel.from_pretrained(clip).parameters())
    model = fitted(folder, prompts, find.load("dimum_robustness"), Place()).model
    judged = fit_of(
        str(folder), prompts, (), 200, True, find.load("dimum_robustness"), Place(), "auto", judge=4 * numbers
    )
    assert judged is not None
    for run in (
        Run("a", "label_swap", {"batch": 4}),
        Run("a", "uce", {}),
        Run("a", "dimra", {"batch": 4}, attacks=True),
    ):
        for how in (How(), How(on_gpu=True, half=True, checkpointing=True)):
            plain, beside = model.peak(run, how), judged.model.peak(run, how)
            assert beside.bytes - plain.bytes == beside.parts["judge"] == 4 * numbers
            assert plain.parts["VAE"] == pytest.approx(VAE * GB, rel=1e-3)
            assert plain.parts["prompts"] == pytest.approx((len(prompts.prompts) + 1) * 77 * 768 * 4, rel=0.01)
    asked_for = {"data": "prompts", "data_folder": str(data), "base": str(folder), "forget": "concept:cat"}
    setups = [Setup.asked(asked_for | {"judge": judge}) for judge in ("", f"zero_shot_clip:{clip}")]
    fits = [setup.fit(asked(Arm("swap", "label_swap", ())), Place()) for setup in setups]
    assert [fit.model.judge for fit in fits if fit] == [0, pytest.approx(4 * numbers, rel=1e-2)]
    (clip / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(UsageError, match=r"model\.safetensors: cannot be read as safetensors"):
        setups[1].fit(asked(Arm("swap", "label_swap", ())), Place())


@pytest.mark.parametrize(("half", "held"), [(True, 2 * 0.8595), (False, 4 * 0.8595)])
def test_what_one_arm_asks_of_the_base_model_stays_beside_the_others(
    folder: Path, prompts: Dataset, half: bool, held: float
) -> None:
    """It is kept in the process that a trial of another arm comes to, with its own table of prompts."""
    swap, ablation = (Arm(name, name, (Choice("batch", (4,)),)) for name in ("label_swap", "concept_ablation"))
    plan = dataclasses.replace(asked(swap), arms=(swap, ablation))
    precision, place = "bf16" if half else "fp32", Place(gpu_memory=80)
    alone, both = (fitted(folder, prompts, space, place, precision) for space in (asked(swap), plan))
    run = next(run for run in both.runs if run.what == "arm label_swap")
    kept = [fit.model.kept(fit.runs, fit.plain) for fit in (alone, both)]
    peaks = [both.model.peak(run, both.plain, of_plan) for of_plan in kept]
    assert "θ₀" not in peaks[0].parts and peaks[1].parts["θ₀"] == pytest.approx(held * GB, rel=0.01)
    assert kept[1]["prompts"] == 2 * kept[0]["prompts"]
    assert peaks[1].bytes - peaks[0].bytes == peaks[1].parts["θ₀"] + kept[0]["prompts"]
    assert both.largest.parts["θ₀"] == peaks[1].parts["θ₀"], "and is not counted twice where it is asked"


def test_an_attackers_set_of_the_base_models_images_asks_for_it_too(folder: Path, prompts: Dataset) -> None:
    model, how = fitted(folder, prompts, find.load("dimum_robustness"), Place()).model, How(on_gpu=True, half=True)
    search = Run("a", "prompt_search", {}, attacks=True)
    assert model.kept([search], how)["θ₀"] == pytest.approx(2 * 0.8595 * GB, rel=0.01)
    assert "θ₀" not in model.kept([Run("a", "prompt_search", {"auxiliary": "forget"}, attacks=True)], how)
    probe = Run("a", "derived_embedding", {}, attacks=True)
    assert model.kept([search, probe], how)["θ₀"] == pytest.approx((2 + 4) * 0.8595 * GB, rel=0.01), (
        "in both precisions"
    )


def test_a_vae_decodes_in_float32_unless_its_file_says_that_it_need_not(
    folder: Path, prompts: Dataset, tmp_path: Path
) -> None:
    """1.4's file says nothing of it, and diffusers takes that for yes."""
    run, how = Run("a", "uce", {}), How(on_gpu=True, half=True)
    light = shutil.copytree(folder, tmp_path / "sd")
    config = light / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"force_upcast": False}))
    samples = [
        fitted(where, prompts, find.load("dimum_robustness"), Place()).model._scored(run, how, {})["samples"]
        for where in (folder, light)
    ]
    assert samples[0] > 1.2 * samples[1]


def test_a_search_for_prompts_is_counted_by_all_its_passes_and_by_what_it_holds_of_the_vocabulary(
    folder: Path, prompts: Dataset
) -> None:
    model = dataclasses.replace(fitted(folder, prompts, find.load("dimum_robustness"), Place()).model, forgotten=100)
    how, search = How(on_gpu=True, half=True), Run("a", "prompt_search", {"discrete": True}, attacks=True)
    assert (search.batch, search.step_images(100)) == (64, 100 * 4)
    some = Run("a", "prompt_search", {"discrete": True, "prompts": 8}, attacks=True)
    assert some.step_images(100) == 8 * 4
    held = [model.peak(run, how).parts["words"] for run in (search, some)]
    assert held[0] >= 4 * 4 * 100 * 5 * model.vocabulary and held[1] == pytest.approx(0.08 * held[0])
    continuous = Run("a", "prompt_search", {}, attacks=True)
    assert "words" not in model.peak(continuous, how).parts
    assert Run("a", "dimra", {"batch": 4}, attacks=True).step_images(100) == 4


def test_a_plan_is_told_whose_suite_moves_no_weight(folder: Path, prompts: Dataset) -> None:
    attacks = (Attack("inversion", "textual_inversion", {}), Attack("probe", "derived_embedding", {}))
    fit = fitted(folder, prompts, asked(Arm("mace", "mace", ()), *attacks), Place(gpu_memory=24))
    fit.check()
    assert "0.86 billion parameters" in fit.text and fit.time_text


def test_meta_around_an_edit_keeps_the_images_of_its_own_sets(folder: Path, prompts: Dataset) -> None:
    for method in ("meta(uce)", "meta(mace)"):
        assert Run("a", method, {"batch": 64, "meta_inner_batch": 2}).batch == 4
    assert Run("a", "meta(mace)", {"attention_batch": 7, "meta_inner_batch": 2}).batch == 7
    assert Run("a", "meta(label_swap)", {"batch": 64, "meta_inner_batch": 2}).batch == 64


def test_a_plan_that_fits_no_card_is_refused_with_the_cheapest_mend_that_makes_it_fit(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without a GPU; with the words of the mend behind it, the plan is let pass and told."""
    monkeypatch.chdir(tmp_path)
    plan = ["--space", "dimum_robustness", "--base", str(folder), "--data", "prompts", "--data-folder", str(data)]
    plan += ["--gpus-per-trial", "1", "--gpu-memory", "24", "--dry-run", "--run-dir", "run"]
    assert launch.main(plan) == 2
    error = capsys.readouterr().err
    refusal = re.fullmatch(
        r"error: --gpu-memory 24: arm label_swap needs ([\d.]+) GB \(weights [^)]+\), and may take 24\.0; cheapest mend: (.+)\n",
        error,
    )
    assert refusal is not None, error
    assert float(refusal[1]) > 24
    words = refusal[2].split()
    assert launch.main([*plan, *words]) == 0
    output = " ".join(capsys.readouterr().out.split())
    line = re.search(
        r"memory 0\.86 billion parameters, with gradient checkpointing; (?:arm|attack) \S+ needs ([\d.]+) GB \([^)]+\) of 24\.0 "
        r"of a GPU; up to [\d.]+ GB of disk a trial",
        output,
    )
    assert line is not None, output
    assert float(line[1]) <= 24
    assert "time 0.8 TFLOP a forward pass of an image; taken for 50 TFLOP/s of a GPU" in output
    assert not (tmp_path / "run").exists()


def test_a_score_is_counted_by_all_its_images_the_confirm_phases_too(folder: Path, data: Path) -> None:
    asked_for = {"data": "prompts", "data_folder": str(data), "base": str(folder), "forget": "concept:cat"}
    setup = Setup.asked(asked_for | {"samples_forgotten": 20, "samples_per_retained": 3})
    retained = len(parse_forget(setup.forget, setup.dataset()).retained)
    fit = setup.fit(asked(Arm("swap", "label_swap", ())), Place())
    assert fit is not None and retained > 1 and fit.model.images == 30 + 6 * retained


def test_a_hub_s_pipeline_is_counted_where_it_is_cached_and_taken_for_large_where_not(
    folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network: what nobody has counted runs with checkpointing, for a trial without may not fit."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    where = tmp_path / "models--owner--sd"
    asked_for = {"data": "prompts", "data_folder": str(data), "base": "owner/sd", "forget": "concept:cat"}
    question, card = asked(Arm("swap", "label_swap", ())), Place(gpus_per_trial=1, gpu_memory=24)

    unknown = Setup.asked(asked_for)
    assert unknown.base_folder == "" and unknown.fit(question, card) is None
    assert unknown.checkpoints(question, card)
    assert not unknown.checkpoints(question, dataclasses.replace(card, checkpointing="off"))
    unknown.check_fits(question, card)
    said = {words.heading: text for words, text in unknown.more_words(question, card)}
    assert "owner/sd is not fetched yet" in said["memory"]

    snapshot = where / "snapshots" / ("a" * 40)
    shutil.copytree(folder, snapshot)
    (where / "refs").mkdir()
    (where / "refs" / "main").write_text("a" * 40)
    cached, here = Setup.asked(asked_for), Setup.asked(asked_for | {"base": str(folder)})
    fit, expected = cached.fit(question, card), here.fit(question, card)
    assert cached.base_folder == str(snapshot) and fit is not None and expected is not None
    assert fit.text == expected.text and fit.time_text == expected.time_text
    small = dataclasses.replace(card, gpu_memory=8)
    with pytest.raises(UsageError, match=r"--gpu-memory 8: .* cheapest mend"):
        cached.check_fits(question, small)
    pinned = Setup.asked(asked_for | {"base_revision": "b" * 40})
    assert pinned.base_folder == "", "another commit than the one that is cached"
    next(snapshot.glob("unet/*.safetensors")).unlink()
    assert Setup.asked(asked_for).base_folder == "", "a part of it is not there"


def test_a_track_that_fits_no_card_is_refused_too(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = f"--methods label_swap --base {folder} --data prompts --data-folder {data} --forget concept:cat --dry-run"
    words += " --attacks dimra-retain-1e-3 --gpus-per-trial 1"
    assert tracks.main([*words.split(), "--gpu-memory", "8"]) == 2
    assert re.match(r"error: --gpu-memory 8: (arm|attack) \S+ needs ", capsys.readouterr().err)
    assert tracks.main([*words.split(), "--gpu-memory", "80"]) == 0


@pytest.mark.parametrize(
    "space", ["dimum_text2image", "closed_form_text2image", "meta_unlearning_text2image", "concept_resurgence"]
)
def test_what_is_preset_for_a_card_of_24_gb_fits_it_by_the_estimate(
    folder: Path,
    data: Path,
    space: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = [
        "--space",
        space,
        "--preset",
        "24gb",
        "--base",
        str(folder),
        "--data",
        "prompts",
        "--data-folder",
        str(data),
    ]
    assert launch.main([*plan, "--dry-run"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    needed = re.search(r"memory 0\.86 billion parameters.*? needs ([\d.]+) GB \([^)]+\) of 24\.0 of a GPU", output)
    assert needed is not None and 8 < float(needed[1]) <= 24, output


ADAM = Attack("whole", "dimra", {"batch": 4})


@pytest.mark.parametrize(
    ("settings", "place", "precision", "mend"),
    [
        ({"batch": 4, "ema_decay": 0.0}, Place(gpu_memory=20, checkpointing="off"), "auto", "--checkpointing on"),
        ({"batch": 4, "ema_decay": 0.0}, Place(gpu_memory=40, gpus_per_trial=0.25), "auto", "--gpus-per-trial 0.5"),
        ({"batch": 32, "ema_decay": 0.0}, Place(gpu_memory=27), "fp32", "--precision bf16"),
        ({"ema_decay": 0.0}, Place(gpu_memory=24), "auto", "--set batch=16"),
        ({"batch": 4}, Place(gpu_memory=20), "auto", "--set ema_decay=0.0"),
        ({"batch": 4, "ema_decay": 0.0}, Place(gpu_memory=12), "auto", "--set trained_parameters=cross_attention"),
        ({"batch": 4, "ema_decay": 0.0}, Place(gpu_memory=2), "auto", "take a smaller model, or a GPU of 18 GB a trial"),
    ],
    ids=["checkpointing", "a larger share", "precision", "batch", "average", "parameters", "nothing"],
)  # fmt: skip
def test_the_mend_is_the_cheapest(
    folder: Path, prompts: Dataset, settings: dict[str, float], place: Place, precision: str, mend: str
) -> None:
    arm = Arm("dimum", "dimum", tuple(Choice(name, (value,)) for name, value in settings.items()))
    with pytest.raises(UsageError, match=f"arm dimum needs .*; cheapest mend: {re.escape(mend)}$") as refused:
        fitted(folder, prompts, asked(arm), place, precision).check()
    assert str(refused.value).count("\n") == 0


def test_a_shared_artifact_is_made_in_the_memory_of_a_trial_that_needs_it(folder: Path, prompts: Dataset) -> None:
    """Few weights train, and F is of all: weights, casts, gradients, what is made; four images' activations."""
    run = Run("a", "selective_amnesia", {"batch": 2, "ema_decay": 0.0, "trained_parameters": "cross_attention_kv"})
    by_hand = 4 * 4 * 0.8595 + 2 * 0.8595 + 4 * 0.271 + 1.6
    assert peak(folder, prompts, run, How(on_gpu=True, half=True, checkpointing=True)) == pytest.approx(
        by_hand, rel=0.02
    )


@pytest.mark.parametrize(("part", "enough"), [(0.332, "0.5"), (0.329, "0.33")])
def test_a_share_that_is_named_as_the_mend_is_one_that_does(
    folder: Path, prompts: Dataset, part: float, enough: str
) -> None:
    arm = Arm("dimum", "dimum", (Choice("batch", (4,)), Choice("ema_decay", (0.0,))))
    needed = fitted(folder, prompts, asked(arm), Place(gpu_memory=80, checkpointing="on")).largest.bytes / GB
    plan = Place(gpu_memory=needed / part, gpus_per_trial=0.25, checkpointing="on")
    with pytest.raises(UsageError, match=rf"--gpus-per-trial {enough}$"):
        fitted(folder, prompts, asked(arm), plan).check()
    fitted(folder, prompts, asked(arm), dataclasses.replace(plan, gpus_per_trial=float(enough))).check()


def test_an_attack_is_named_where_it_takes_most(folder: Path, prompts: Dataset) -> None:
    arm = Arm("uce", "uce", ())
    place = Place(gpu_memory=12)
    with pytest.raises(UsageError, match=r"attack whole needs .* mend: --set trained_parameters=cross_attention$"):
        fitted(folder, prompts, asked(arm, ADAM), place).check()
    light = Attack("light", "dimra", {"batch": 4, "trained_parameters": "cross_attention"})
    fitted(folder, prompts, asked(arm, light), place).check()


def test_on_a_machine_fewer_trials_at_a_time_are_the_mend(
    folder: Path, prompts: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = Arm("dimum", "dimum", (Choice("batch", (2,)), Choice("ema_decay", (0.0,))))
    monkeypatch.setattr(fitting, "memory_here", lambda: 30 * GB)
    with pytest.raises(UsageError, match=r"^--workers 4: .*, and may take 7\.5; cheapest mend: --workers 1$"):
        fitted(folder, prompts, asked(arm), Place(workers=4)).check()
    fitted(folder, prompts, asked(arm), Place(workers=1)).check()
    fitted(folder, prompts, asked(arm), Place(workers=4, address="auto")).check()


def test_checkpointing_is_left_to_the_estimate(folder: Path, prompts: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = Arm("dimum", "dimum", (Choice("batch", (8,)), Choice("ema_decay", (0.0,))))
    monkeypatch.setattr(fitting, "gpu_memory", lambda: 0)
    for place, on in (
        (Place(gpu_memory=80), False),
        (Place(gpu_memory=24), True),
        (Place(gpus_per_trial=1, address="auto"), True),  # nobody knows what that card has
        (Place(gpu_memory=80, checkpointing="on"), True),
        (Place(gpu_memory=24, checkpointing="off"), False),
    ):
        assert fitted(folder, prompts, asked(arm), place).how.checkpointing is on, place


def test_a_card_elsewhere_is_asked_of_no_gpu_here_until_the_plan_runs() -> None:
    place = Place(gpus_per_trial=1, gpu_memory=24, in_process=True)
    place.check()
    with pytest.raises(UsageError, match="--gpus-per-trial 1: this machine has 0 GPU"):
        place.check_gpus()


def test_a_setting_is_held_wherever_the_question_leaves_it_alone() -> None:
    space = find.load("dimum_robustness")
    held = with_settings(space, ["batch=4", "trained_parameters=cross_attention"])
    for arm in held.arms:
        names = {p.name: p for p in arm.walk()}
        assert isinstance(names["batch"], Choice) and list(names["batch"].branches) == [4]
        assert "cross_attention" not in str(names["trained_parameters"]), "the question searches that itself"
        assert all(arm.check(point)["batch"] == 4 for point in arm.start_points)
    for attack in (*held.search_attacks, *held.confirm_attacks):
        assert attack.settings["trained_parameters"] == "cross_attention" and attack.settings["batch"] == 4
    averaged = with_settings(asked(Arm("dimum", "dimum", ()), ADAM), ["ema_decay=0"])
    assert [p.name for p in averaged.arms[0].walk()] == ["ema_decay"]
    assert "ema_decay" not in averaged.search_attacks[0].settings, "attacks have no average"
    assert Setup(held_settings=("batch=4",)).question(space) == with_settings(space, ["batch=4"])
    for texts, said in (
        (["batch"], "write NAME=VALUE"),
        (["batch=4", "batch=8"], "is given twice"),
        (["batches=4"], "no method or attack has it .* batch"),
    ):
        with pytest.raises(UsageError, match=f"--set .*{said}"):
            with_settings(space, texts)


@pytest.mark.parametrize(
    ("text", "value"), [("false", False), ("False", False), ("true", True), ("None", None), ("4", 4), ("4.0", 4.0)]
)
def test_a_held_setting_is_read_as_the_value_that_it_says(text: str, value: Value) -> None:
    uce = asked(Arm("uce", "uce", ()), ADAM)
    (parameter,) = with_settings(uce, [f"edit_pooled={text}"]).arms[0].walk()
    (option,) = parameter.branches  # type: ignore[union-attr]
    assert option == value and type(option) is type(value)


def test_an_attack_that_refuses_what_is_held_is_one_line_before_a_plan_is_costed() -> None:
    space = with_settings(asked(Arm("dimum", "dimum", ()), ADAM), ["images=-1"])
    with pytest.raises(UsageError, match=r"space '.*', attack 'whole': images must be at least 1"):
        trains_on(space, "synthetic")
    with pytest.raises(UsageError, match=r"attack whole: images must be at least 1"):
        [run.batch for run in runs_of(space)]
