"""Stable Diffusion's folders as base models: what is read of them, what they predict, and every reason why one cannot be
used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import text_folders
import torch
from prompts_data import prompts_data
from safetensors.torch import load_file, save_file

from trainables.data import DATASETS, Dataset
from trainables.denoisers.digests import hashed
from trainables.denoisers.dit import decode, vae_batch
from trainables.denoisers.imported import imported_prompts, imported_text_unet, make_prompts, prompts_key
from trainables.denoisers.parts import all_files, denoiser_weights, to_fetch
from trainables.denoisers.pipelines import fitted, located, read_pipeline
from trainables.denoisers.recipes import SD, SDXL, Pretrained
from trainables.diffusion import predict
from trainables.store import Store

X, T = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 500, 999])
ROWS = torch.tensor([2, 0, 4])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each layout, by its name; copy one to change it."""
    root = tmp_path_factory.mktemp("pipelines")
    for name, save in text_folders.SAVED.items():
        save(root / name)
    return root


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(saved / name, tmp_path / name))


def taken(folder: Path, data: Dataset | None = None) -> Pretrained:
    return hashed(fitted(read_pipeline(str(folder)), data or prompts_data()))


def test_what_a_folder_says_of_itself(saved: Path) -> None:
    sd, v, xl = (taken(saved / name) for name in ("sd", "sd-v", "xl"))
    assert (sd.kind, v.kind, xl.kind) == (SD, SD, SDXL)
    assert {p.shape for p in (sd, v, xl)} == {(4, 8, 8)} and {p.image_shape for p in (sd, v, xl)} == {(3, 16, 16)}
    assert [p.schedule.prediction_type for p in (sd, v, xl)] == ["epsilon", "v_prediction", "epsilon"]
    assert [p.zeros_for_empty for p in (sd, v, xl)] == [False, False, True]
    assert all(p.null and p.in_latents and p.on_prompts and p.label_dropout == 0.1 for p in (sd, v, xl))
    assert sd.notes == ("its safety_checker, feature_extractor: not loaded, no part of what is measured",)
    assert v.notes == xl.notes == ()


@pytest.mark.parametrize("name", ["sd", "sd-v", "xl"])
def test_ddim_steps_as_diffusers_own_does_when_it_is_made_of_the_pipelines_file(name: str, saved: Path) -> None:
    from diffusers import DDIMScheduler

    file = json.loads((saved / name / "scheduler" / "scheduler_config.json").read_text())
    ours, theirs = taken(saved / name).schedule.scheduler(), DDIMScheduler.from_config(file)
    for option in ("steps_offset", "set_alpha_to_one", "clip_sample", "timestep_spacing", "prediction_type"):
        assert ours.config[option] == theirs.config[option], option
    assert torch.equal(ours.alphas_cumprod, theirs.alphas_cumprod)
    ours.set_timesteps(7), theirs.set_timesteps(7)
    assert torch.equal(ours.timesteps, theirs.timesteps) and ours.final_alpha_cumprod == theirs.final_alpha_cumprod


def test_a_samplers_defaults_in_a_schedulers_file_are_corrected_as_diffusers_pipeline_does(
    saved: Path, tmp_path: Path
) -> None:
    """Saved after ``pipe.scheduler = DDIMScheduler(…)``: x₀ of latents would be cut to [-1, 1] at every step."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    folder = Path(shutil.copytree(saved / "sd", tmp_path / "sd"))
    wrong = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    wrong.save_pretrained(folder / "scheduler")
    found = taken(folder)
    corrected = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None).scheduler
    assert wrong.config.clip_sample and not corrected.config.clip_sample
    for option in ("steps_offset", "clip_sample"):
        assert getattr(found.schedule, option) == corrected.config[option], option
    assert found.notes[-1] == "its scheduler's steps_offset and clip_sample: as diffusers' pipeline corrects them"


@pytest.mark.parametrize("name", ["sd", "sd-v", "xl"])
def test_a_row_of_an_imported_table_makes_the_unet_predict_what_the_prompt_did(name: str, saved: Path) -> None:
    """Against the pipeline's own U-Net on the pipeline's own embeddings, in the layouts that files have on disk."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    pretrained, texts = taken(saved / name), (*text_folders.PROMPTS, "")
    ours = imported_text_unet(pretrained, imported_prompts(pretrained, text_folders.PROMPTS))
    kind = StableDiffusionXLPipeline if name == "xl" else StableDiffusionPipeline
    checker = {} if name == "xl" else {"safety_checker": None}
    theirs = kind.from_pretrained(saved / name, feature_extractor=None, local_files_only=True, **checker)
    asked = [texts[row] for row in ROWS]
    with torch.no_grad():
        if name == "xl":
            context, empty, pooled, no_pooled = theirs.encode_prompt(asked, device="cpu")
            context[2], pooled[2] = empty[2], no_pooled[2]
            added = {"text_embeds": pooled, "time_ids": torch.tensor([[16, 16, 0, 0, 16, 16]] * 3)}
        else:
            context, added = theirs.encode_prompt(asked, "cpu", 1, False)[0], None
        expected = theirs.unet(X, T, encoder_hidden_states=context, added_cond_kwargs=added).sample
        torch.testing.assert_close(predict(ours, X, T, ROWS), expected, rtol=1e-4, atol=1e-5)  # type: ignore[arg-type]


def test_only_what_is_read_is_digested_and_the_text_part_of_it_by_itself(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    before = taken(folder)
    (folder / "safety_checker" / "model.safetensors").write_bytes(b"other junk")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a twin")
    (folder / "text_encoder" / "pytorch_model.bin").write_bytes(b"a pickle beside the weights")
    assert taken(folder).identity == before.identity
    assert [file.name for file in denoiser_weights(folder, SD)] == ["diffusion_pytorch_model.safetensors"]
    with (folder / "tokenizer" / "merges.txt").open("a") as file:
        file.write("g o\n")
    other = taken(folder)
    assert other.digest != before.digest and other.text_digest != before.text_digest
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert taken(folder).digest != other.digest and taken(folder).text_digest == other.text_digest


def test_a_table_is_known_by_its_texts_and_by_what_encodes_them(saved: Path, tmp_path: Path) -> None:
    pretrained, data, store = taken(saved / "xl"), prompts_data(), Store(tmp_path)
    key = prompts_key(pretrained, data)
    assert make_prompts(store, pretrained, data).key == key
    assert store.get(key).facts["full"] == [text_folders.PROMPTS[3]], "what was cut, or just fits, is said"
    others = [
        (replace(pretrained, text_digest="0"), data),
        (replace(pretrained, zeros_for_empty=False), data),
        (replace(pretrained, image_shape=(3, 32, 32)), data),
        (pretrained, prompts_data(text_folders.PROMPTS[::-1])),
    ]
    assert len({prompts_key(of, texts) for of, texts in others} | {key}) == 5
    plain = taken(saved / "sd")
    assert prompts_key(plain, data) == prompts_key(replace(plain, digest="0"), data)


def test_half_precision_is_taken_where_there_is_nothing_else_and_said(copied: Callable[[str], Path]) -> None:
    folder = copied("sd-v")
    whole = imported_text_unet(pretrained := taken(folder), prompts := imported_prompts(pretrained, ("a cat",)))
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        file = folder / part / f"{name}.safetensors"
        halves = {key: value.half() if value.is_floating_point() else value for key, value in load_file(file).items()}
        save_file(halves, folder / part / f"{name}.fp16.safetensors", metadata={"format": "pt"})
        file.unlink()
    pretrained = taken(folder)
    assert pretrained.notes == ("its unet, text_encoder: in half precision alone, taken as they are",)
    again = imported_prompts(pretrained, ("a cat",))
    assert again.context.dtype == torch.float32 and not torch.equal(again.context, prompts.context)
    torch.testing.assert_close(again.context, prompts.context, rtol=1e-2, atol=1e-2)
    half = imported_text_unet(pretrained, again)
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    for one, other in zip(half.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other.half().float())


def test_a_tokenizer_in_one_file_makes_the_same_tokens_as_in_two(copied: Callable[[str], Path]) -> None:
    two, one = taken(copied("sd")), taken(copied("sd-v"))
    tokens = [imported_prompts(pretrained, text_folders.PROMPTS) for pretrained in (two, one)]
    assert torch.equal(tokens[0].real, tokens[1].real)
    for a, b, real in zip(tokens[0].tokens, tokens[1].tokens, tokens[0].real, strict=True):
        assert torch.equal(a[:real], b[:real])


def edit(path: Path, **changes: object) -> None:
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not ...}))


def edit_unet(**changes: object) -> Callable[[Path], None]:
    return lambda r: edit(r / "unet" / "config.json", **changes)


def edit_index(**changes: object) -> Callable[[Path], None]:
    return lambda r: edit(r / "model_index.json", **changes)


def pickled(part: str, name: str) -> Callable[[Path], object]:
    return lambda r: (r / part / f"{name}.safetensors").rename(r / part / f"{name}.bin")


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a pipeline of its own": ("sd", edit_index(_class_name=["my.py", "MyPipeline"]), "is none of DDPMPipeline"),
    "for inpainting, by class": (
        "sd",
        edit_index(_class_name="StableDiffusionInpaintPipeline"),
        "StableDiffusionInpaintPipeline is none of",
    ),
    "for inpainting, by channels": ("sd", edit_unet(in_channels=9), "9 channels in: a U-Net for inpainting"),
    "an encoder of its own": ("sd", edit_index(text_encoder=["my_clip", "MyClip"]), "code of a model is never run"),
    "another encoder": (
        "sd",
        edit_index(text_encoder=["transformers", "T5EncoderModel"]),
        "text_encoder is a T5EncoderModel; known: CLIPTextModel",
    ),
    "an encoder of the wrong library": (
        "sd",
        edit_index(text_encoder=["diffusers", "CLIPTextModel"]),
        "text_encoder is a CLIPTextModel; known",
    ),
    "no encoder in the index": ("sd", edit_index(text_encoder=[None, None]), "it has no text_encoder"),
    "no encoder in the folder": ("sd", lambda r: shutil.rmtree(r / "text_encoder"), "no safetensors weights in it"),
    "no second encoder": ("xl", edit_index(text_encoder_2=...), "it has no text_encoder_2"),
    "no projection": (
        "xl",
        edit_index(text_encoder_2=["transformers", "CLIPTextModel"]),
        "text_encoder_2 is a CLIPTextModel; known: CLIPTextModelWithProjection",
    ),
    "no tokenizer": ("sd", lambda r: shutil.rmtree(r / "tokenizer"), "no tokenizer in it"),
    "half a tokenizer": ("sd", lambda r: (r / "tokenizer" / "merges.txt").unlink(), "no tokenizer in it"),
    "no length of prompts": (
        "sd-v",
        lambda r: (r / "tokenizer" / "tokenizer_config.json").unlink(),
        "no tokenizer_config.json in it",
    ),
    "a tokenizer of its own": ("sd", edit_index(tokenizer=["mine", "Words"]), "code of a model is never run"),
    "a pickled encoder": (
        "sd",
        pickled("text_encoder", "model"),
        "its weights are pickles (model.bin), which can run code and are not read; where you trust them, convert: "
        "CLIPTextModel.from_pretrained",
    ),
    "a pickled U-Net": (
        "sd",
        pickled("unet", "diffusion_pytorch_model"),
        "convert: UNet2DConditionModel.from_pretrained",
    ),
    "a pickled VAE": ("xl", pickled("vae", "diffusion_pytorch_model"), "convert: AutoencoderKL.from_pretrained"),
    "vectors of another width": (
        "sd",
        edit_unet(cross_attention_dim=1024),
        "cross_attention_dim is 1024, but the text encoder makes vectors of 12",
    ),
    "of one encoder alone": (
        "xl",
        edit_unet(cross_attention_dim=12),
        "is 12, but the text encoder makes vectors of 8 + 12",
    ),
    "a pooled vector of another width": (
        "xl",
        edit_unet(projection_class_embeddings_input_dim=60),
        "is 60, but sizes and the pooled vector of text_encoder_2 make 54",
    ),
    "told an image": ("xl", edit_unet(addition_embed_type="text_image"), "addition_embed_type 'text_image': SDXL's is"),
    "sizes for Stable Diffusion": (
        "sd",
        edit_unet(addition_embed_type="text_time"),
        "'text_time': that of Stable Diff",
    ),
    "classes": ("sd", edit_unet(class_embed_type="timestep"), "it sets class_embed_type"),
    "numbers of classes": ("sd", edit_unet(num_class_embeds=10), "it sets num_class_embeds"),
    "a projection of prompts": ("sd", edit_unet(encoder_hid_dim=4096), "it sets encoder_hid_dim"),
    "a guidance that is told": ("sd", edit_unet(time_cond_proj_dim=256), "it sets time_cond_proj_dim"),
    "Fourier features of t": ("sd", edit_unet(time_embedding_type="fourier"), "time_embedding_type 'fourier'"),
    "learned variances": ("sd", edit_unet(out_channels=8), "4 channels in and 8 out: a U-Net with learned variances"),
    "a depth map beside": ("sd", edit_unet(in_channels=5), "5 channels in and 4 out"),
    "no size": ("sd", edit_unet(sample_size=None), "it names no sample_size"),
    "ᾱ_T of 0": (
        "sd-v",
        lambda r: edit(r / "scheduler" / "scheduler_config.json", rescale_betas_zero_snr=True),
        "sets rescale_betas_zero_snr",
    ),
    "predicts x": (
        "sd-v",
        lambda r: edit(r / "scheduler" / "scheduler_config.json", prediction_type="sample"),
        "prediction_type 'sample'",
    ),
    "other latents": ("sd", lambda r: edit(r / "vae" / "config.json", shift_factor=0.1159), "it sets shift_factor"),
    "latents of other channels": (
        "sd",
        lambda r: edit(r / "vae" / "config.json", latent_channels=16),
        "its U-Net takes 4 channels, but its VAE makes 16",
    ),
    "no VAE": ("sd", edit_index(vae=None), "it has no vae"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_used_is_refused_in_one_line(bad: str, copied: Callable[[str], Path]) -> None:
    name, spoil, said = BAD[bad]
    folder = copied(name)
    spoil(folder)
    with pytest.raises(ValueError) as error:
        taken(folder)
    assert said in str(error.value) and "\n" not in str(error.value) and str(folder) in str(error.value)


def test_prompts_and_classes_are_not_taken_for_one_another(saved: Path) -> None:
    with pytest.raises(ValueError, match="it is told prompts, but the conditions of digits are none"):
        taken(saved / "sd", DATASETS["digits"])
    with pytest.raises(ValueError, match="a text-to-image model has no classes to choose from"):
        read_pipeline(str(saved / "sd"), rows=(1, 2))
    with pytest.raises(
        ValueError,
        match="but prompts has 3×32×32 images; give --image-size 16",
    ):
        taken(saved / "sd", prompts_data(side=32))
    none_shown = replace(prompts_data(side=32), imaged=(False,) * len(text_folders.PROMPTS))
    assert taken(saved / "sd", none_shown).image_shape == (3, 16, 16), "the model says how large they will be"


def damaged(name: str) -> Callable[[Path], object]:
    return lambda r: (r / name).write_bytes(b"{}" if name.endswith("json") else b"junk")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("text_encoder/model.safetensors", "text_encoder cannot be read"),
        ("tokenizer/tokenizer.json", "tokenizer cannot be"),
    ],
)
def test_a_damaged_encoder_or_tokenizer_is_said_in_one_line(
    file: str, said: str, copied: Callable[[str], Path]
) -> None:
    folder = copied("sd-v")
    pretrained = taken(folder)
    damaged(file)(folder)
    with pytest.raises(ValueError, match=said) as error:
        imported_prompts(pretrained, ("a cat",))
    assert "\n" not in str(error.value)


def test_an_encoder_that_lacks_weights_is_refused_and_none_are_made_up(copied: Callable[[str], Path]) -> None:
    folder = copied("sd-v")
    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    lost = next(name for name in tensors if name.endswith("final_layer_norm.weight"))
    del tensors[lost]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="text_encoder lacks 1 of its weights"):
        imported_prompts(taken(folder), ("a cat",))


def test_without_transformers_the_extra_is_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrained = taken(saved / "sd")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for needs_it in (lambda: taken(saved / "sd"), lambda: imported_prompts(pretrained, ("a cat",))):
        with pytest.raises(ValueError, match=r"transformers, which is not installed; pip install .*\[text2image\]"):
            needs_it()


def test_exactly_what_is_read_is_fetched(
    saved: Path, copied: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub is a folder here; what a download takes of it is decided by the same patterns."""
    from huggingface_hub.utils import filter_repo_objects

    commit, hub = "1" * 40, copied("sd")
    (hub / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a twin")
    (hub / "unet" / "diffusion_pytorch_model.non_ema.safetensors").write_bytes(b"another")
    (hub / "v1-4.ckpt").write_bytes(b"a pickle")
    (hub / "text_encoder" / "model.safetensors").rename(hub / "text_encoder" / "model.fp16.safetensors")
    (hub / "text_encoder" / "pytorch_model.bin").write_bytes(b"a pickle")
    snapshot = tmp_path / "snapshots" / commit
    asked: list[str | None] = []

    def download(source: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(revision)
        names = [p.relative_to(hub).as_posix() for p in hub.rglob("*") if p.is_file()]
        for name in filter_repo_objects(names, allow_patterns=allow_patterns):
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(hub / name, snapshot / name)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    folder, revision = located("owner/name")
    assert revision == commit and asked == [None, commit, commit], "one commit, whatever is uploaded meanwhile"
    fetched = {p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file()}
    read = {p.relative_to(snapshot).as_posix() for p in all_files(Path(folder), SD)}
    assert fetched == read | {"model_index.json"}
    assert taken(Path(folder)).notes[1] == "its text_encoder: in half precision alone, taken as they are"
    assert not any("safety" in name or ".bin" in name for name in to_fetch(SDXL))


def test_a_vae_that_says_so_decodes_in_float32_whatever_is_computed_around_it() -> None:
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for upcast in (True, False):
        vae = text_folders.vae(scaling_factor=0.5, force_upcast=upcast)
        plain = decode(vae, latents)
        torch.testing.assert_close(plain, vae.decode(latents / 0.5).sample.clamp(-1, 1))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(decode(vae, latents), plain) == upcast
            assert decode(vae, latents).dtype == torch.float32


def test_a_vae_takes_fewer_images_at_once_where_they_are_larger() -> None:
    assert [vae_batch(side, side) for side in (16, 256, 512, 1024, 2048)] == [256, 16, 4, 1, 1]
