"""Models saved as diffusers pipelines, which anyone's ``from_pretrained`` loads: a base, a control, an unlearned model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import DDIMPipeline, DiTPipeline, DiTTransformer2DModel, UNet2DModel

from trainables.denoisers.assembled import assembled
from trainables.denoisers.dit import DiT, load_vae
from trainables.denoisers.imported import bits_of
from trainables.denoisers.models import AttributeEmbedding, build, load_model, plain_config
from trainables.denoisers.recipes import Pretrained
from trainables.denoisers.text_unet import TextUNet
from trainables.forgetting import ROLE
from trainables.relearning.experiment import Experiment
from trainables.relearning.origins import VAE
from trainables.relearning.products.text import encoders_of
from trainables.store import Artifact
from trainables.training.device import Device

_MOST_ATTRIBUTES = 12  # 4,097 rows


def save_pipeline(
    artifact: Artifact,
    experiment: Experiment,
    folder: str | Path,
    about: Callable[[str], tuple[str, str]] | None = None,
    more: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Save a model artifact as a pipeline in safetensors, with a card that says what was forgotten and how.

    `about` gives, of the pipeline's class, the card's front matter and the sections of what was measured; `more` writes what else
    lies in the folder.

    A ``DDIMPipeline`` (unet/, scheduler/), or, of a base model of latents, a ``DiTPipeline`` (transformer/, vae/, scheduler/); of
    prompts a ``StableDiffusionPipeline``, or SDXL's, with the base model's text encoders and tokenizers. A model of attributes
    becomes a table of all their vectors. ValueError where the folder is taken.
    """
    root = Path(folder)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(f"{root}: exists and is not an empty folder; a pipeline is saved in one of its own")
    pipeline = pipeline_of(artifact, experiment)
    kind = type(pipeline).__name__
    metadata, measured = about(kind) if about else ("", "")
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.") as half:  # the folder is whole or is not there
        whole = Path(half) / root.name
        pipeline.save_pretrained(whole, safe_serialization=True)
        more(whole)
        (whole / "README.md").write_text(metadata + card(artifact, experiment, kind, measured), encoding="utf-8")
        whole.replace(root)
    return root


def pipeline_of(artifact: Artifact, experiment: Experiment) -> Any:
    """A model artifact as a pipeline, with what of the base model goes with it."""
    model, schedule = load_model(artifact, Device()), experiment.noise_schedule()
    if not experiment.in_latents:
        return DDIMPipeline(as_table(model), schedule)
    vae = load_vae(artifact.store.get(artifact.key_read_with(VAE)), "cpu")
    if isinstance(model, TextUNet):
        text, base = encoders_of(experiment, artifact, Device()), experiment.base
        zeros = base.zeros_for_empty if isinstance(base, Pretrained) else True
        scheduler = experiment.sampling.scheduler(schedule)  # the one that its figures are of
        return assembled(model, vae, list(text.tokenizers), list(text.encoders), scheduler, zeros)
    return DiTPipeline(_stock(model, DiTTransformer2DModel), vae, schedule)


def as_table(model: UNet2DModel) -> UNet2DModel:
    """The model itself; of one whose condition is a vector of attributes, the same function as a stock `UNet2DModel`.

    Its class embedding has a row for each of the 2^A vectors and then the null condition's.
    """
    embedding = model.class_embedding
    if not isinstance(embedding, AttributeEmbedding):
        return model
    if embedding.attributes > _MOST_ATTRIBUTES:
        raise ValueError(
            f"{embedding.attributes} attributes: a table of all their vectors has at most {_MOST_ATTRIBUTES}"
        )
    codes = 2**embedding.attributes + 1
    table = bits_of(codes, embedding.attributes) @ embedding.rows.weight.detach().T
    stock = build(plain_config(model) | {"num_class_embeds": codes})
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("class_embedding.")}
    stock.load_state_dict(state | {"class_embedding.weight": table})
    return stock


def card(artifact: Artifact, experiment: Experiment, pipeline: str, measured: str = "") -> str:
    """The folder's README: what the model is, what it forgot, how, what was measured of it, and how to sample it."""
    facts, base = artifact.facts, experiment.base
    of = (
        f"{Path(base.source).name if Path(base.source).is_dir() else base.source} {base.commit}".strip()
        if isinstance(base, Pretrained)
        else "a model trained for this experiment"
    )
    entries = {"data": experiment.data, "base model": of, "artifact": artifact.key}
    if "method" in facts:
        gone = forgotten_text(experiment)
        title = f"{experiment.data} without {gone}"
        what = f"A diffusion model that was made to forget `{gone}` of `{experiment.data}` by `{facts['method']}`."
        entries |= {"forgotten": gone, "method": facts["method"], "seed": facts["seed"]}
        entries |= {f"setting {name}": value for name, value in sorted(facts["settings"].items())}
    else:
        title, what = (
            f"{experiment.data}: {facts.get('which', artifact.kind)} model",
            "A diffusion model; nothing was unlearned.",
        )
        if facts.get("which") == "retrain":
            entries["trained without"] = forgotten_text(experiment)
    if facts.get("one_step"):
        entries["generator"] = f"makes an image in one step, from t = {facts['one_step']}; DDIM does not sample it"
    rows = "\n".join(f"| {name} | {value} |" for name, value in entries.items())
    return (
        f"# {title}\n\n{what}\n\n| | |\n|---|---|\n{rows}\n\n{measured}\n{_how_to_sample(experiment, pipeline, facts)}"
    )


def _how_to_sample(experiment: Experiment, pipeline: str, facts: Mapping[str, Any]) -> str:
    dataset = experiment.dataset
    if dataset.prompts:
        return _how_to_prompt(experiment, pipeline, knows_all=facts.get("which") == "base")
    part, null = "transformer" if experiment.in_latents else "unet", experiment.null_condition
    labels = "" if dataset.unconditional else ", class_labels=conditions"
    conditions = f"Conditions are 0 to {dataset.conditions - 1}; {null} is the null condition." if labels else ""
    attributes = "".join(f" Bit {i} is `{name}`." for i, name in enumerate(dataset.attributes))
    channels = experiment.model_shape[0]
    after_vae = " after the VAE" if experiment.in_latents else ""
    how, imported, scheduler, guided = experiment.sampling, pipeline, "pipeline.scheduler", ""
    if how.kind != "ddim":
        imported += ", DPMSolverMultistepScheduler"
        options = 'algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="linspace"'
        scheduler = f"DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config, {options})"
    if how.guidance != 1:
        guided = (
            f"        without = model(x, t.expand(4), class_labels=torch.full_like(conditions, {null})).sample[:, :{channels}]\n"
            f"        predicted = without + {how.guidance:g} * (predicted - without)\n"
        )
    return f"""## How to sample it

{conditions}{attributes}
Sampled with {experiment.sampler}. As a batch, deterministically, in [-1, 1]{after_vae}:

```python
import torch
from diffusers import {imported}

pipeline = {pipeline}.from_pretrained("this folder")
model, scheduler = pipeline.{part}, {scheduler}
x = torch.randn(4, {", ".join(map(str, experiment.model_shape))})
conditions = torch.zeros(4, dtype=torch.int64)
scheduler.set_timesteps({how.steps})
with torch.no_grad():
    for t in scheduler.timesteps:
        predicted = model(x, t.expand(4){labels}).sample[:, :{channels}]
{guided}        x = scheduler.step(predicted, t, x).prev_sample
```
""".lstrip()


def forgotten_text(experiment: Experiment) -> str:
    """What was forgotten, as it was asked for; of prompts that a file gives the role, what they ask for: ``concept:cat``."""
    forgetting = experiment.forgetting
    if not forgetting.text.startswith(f"{ROLE}:"):
        return experiment.forget
    (labels,) = (facet.labels for facet in experiment.dataset.facets if facet.name == forgetting.facet)
    return f"{forgetting.facet}:{','.join(labels[label] for label in forgetting.labels)}"


def _how_to_prompt(experiment: Experiment, pipeline: str, knows_all: bool) -> str:
    prompts, forgotten = experiment.dataset.prompts, experiment.forgetting.conditions
    kept = next(row for row in range(len(prompts)) if row not in forgotten)
    examples = [prompts[row] for row in (*forgotten[:1], kept)]
    how = experiment.sampling
    lacking = (
        "" if knows_all else f'; {len(forgotten)} of them, such as "{examples[0]}", ask for what it is not to know'
    )
    return f"""## How to sample it

It has {len(prompts)} prompts{lacking}.
Sampled with {experiment.sampler}:

```python
from diffusers import {pipeline}

pipeline = {pipeline}.from_pretrained("this folder")
images = pipeline({examples!r}, num_inference_steps={how.steps}, guidance_scale={how.guidance:g}).images
```
"""


def _stock(model: DiT, stock: Any) -> torch.nn.Module:
    plain = stock(**plain_config(model))
    plain.load_state_dict(model.state_dict())
    return plain.eval()
