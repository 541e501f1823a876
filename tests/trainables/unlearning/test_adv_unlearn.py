"""AdvUnlearn against a literal loop, and what a stage leaves of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import safetensors.torch
import torch
from text_attacks import TEXTS, VOCABULARY, encoder, encoders, table, tokenizer
from text_problem import NULL, text_problem, text_unet
from torch.nn import functional as F

from trainables.data import DATASETS
from trainables.denoisers.prompts import load_prompts
from trainables.denoisers.text_unet import TextUNet
from trainables.forgetting import parse_forget
from trainables.relearning.experiment import AttackPlan, Experiment, TrialSpec
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.products.models import model_of
from trainables.relearning.products.text import encoders_of
from trainables.relearning.stages.unlearn import UnlearnStage
from trainables.relearning.trial import Pipeline
from trainables.running.stopwatch import Stopwatch
from trainables.store import MissingArtifact
from trainables.unlearning import METHODS, Problem
from trainables.unlearning._partial_denoising import partly_denoised
from trainables.unlearning._text_encoder import EncoderRun

STEPS, WARMUP, J, RATE, ETA, RHO = 3, 1, 2, 1e-3, 1.5, 0.4
VALUES = {
    "steps": STEPS, "warmup": WARMUP, "learning_rate": RATE, "negative_guidance": ETA, "retain_weight": RHO, "retain_batch": 2,
    "attack_steps": J, "attack_learning_rate": 1e-2, "chain_steps": 3, "grad_clip": 1e9, "prefix": 2,
}  # fmt: skip


def text_model(seed: int = 0) -> TextUNet:
    model = text_unet(seed)
    model.prompts = table(encoders())
    return model


def problem() -> Problem:
    base = text_model().requires_grad_(False)
    return replace(text_problem(), base_model=lambda: base, texts=TEXTS, encoders=encoders)


def begin(seed: int = 5, **values: Any) -> EncoderRun:
    member = METHODS["adv_unlearn"]
    run = member.begin(text_model(), problem(), member.configure(VALUES | values), seed)  # type: ignore[arg-type]
    assert isinstance(run, EncoderRun)
    return run


def literal() -> tuple[list[float], Any]:
    """The losses of all steps, and the text encoder after them; what was published, but for the attack's stale gradients."""
    given, base, text = problem(), text_model(), encoder()
    text.requires_grad_(True)
    optimiser, generator = torch.optim.Adam(text.parameters(), RATE), torch.Generator().manual_seed(5)
    vocabulary, words, losses = encoder().get_input_embeddings().weight, None, []

    def unet(x_t: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return super(TextUNet, base).forward(x_t, t, encoder_hidden_states=context).sample

    def chain(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return partly_denoised(given.base, given, rows, 3, 3.0, generator)

    def ids_of(prompt: str, k: int = 0) -> torch.Tensor:
        prompt_ids = tokenizer()(prompt, add_special_tokens=False).input_ids
        ids = [tokenizer().bos_token_id, *[0] * k, *prompt_ids, tokenizer().eos_token_id]
        return torch.tensor([ids + [tokenizer().eos_token_id] * (12 - len(ids))])

    def adversarial(row: int, words: torch.Tensor) -> torch.Tensor:
        def put_in(module: Any, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
            return torch.cat([embedded[:, :1], words[None], embedded[:, 3:]], dim=1)

        hook = text.get_input_embeddings().register_forward_hook(put_in)
        states = text(ids_of(TEXTS[row], 2)).last_hidden_state
        hook.remove()
        return states

    for step in range(STEPS):
        rows = given.draw_forgotten(1, generator)
        row = int(rows[0])
        if step >= WARMUP:
            if words is None:
                words = vocabulary[torch.randint(VOCABULARY, (2,), generator=generator)].clone()
            words = words.detach().requires_grad_(True)
            attack = torch.optim.Adam([words], 1e-2)
            for _ in range(J):
                x_t, t = chain(rows)
                wanted = unet(x_t, t, base.prompts.context[rows]).detach()
                loss = F.mse_loss(unet(x_t, t, adversarial(row, words)), wanted)
                attack.zero_grad()
                loss.backward()
                attack.step()
        x_t, t = chain(rows)
        with torch.no_grad():
            e_p, e_0 = unet(x_t, t, base.prompts.context[rows]), unet(x_t, t, base.prompts.context[[NULL]])
        context = text(ids_of(TEXTS[row])).last_hidden_state if words is None else adversarial(row, words.detach())
        loss = F.mse_loss(unet(x_t, t, context), e_0 - ETA * (e_p - e_0))
        kept = torch.tensor(given.forgetting.retained)[torch.randint(8, (2,), generator=generator)]
        x_r, t_r = chain(kept)
        now = torch.cat([text(ids_of(TEXTS[int(r)])).last_hidden_state for r in kept])
        with torch.no_grad():
            before = unet(x_r, t_r, base.prompts.context[kept])
        loss = loss + RHO * F.mse_loss(unet(x_r, t_r, now), before)
        optimiser.zero_grad()  # of the attack too
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses, text


def test_losses_and_the_text_encoder_are_those_of_a_literal_loop() -> None:
    losses, text = literal()
    run = begin()
    for step, loss in enumerate(losses):
        assert run.advance(step + 1)
        assert run.last_loss == pytest.approx(loss, rel=1e-6)
    for (name, weight), expected in zip(run.text.encoders[0].named_parameters(), text.parameters(), strict=True):
        assert (weight - expected).abs().max() <= 1e-6, name
    context = run.trained().prompts.context
    everything = tokenizer()([*TEXTS, ""], padding="max_length", return_tensors="pt").input_ids
    assert torch.allclose(context, text(everything).last_hidden_state, atol=1e-6), "the empty prompt, too"
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), text_model().parameters(), strict=True))


def test_the_prompt_is_its_own_until_the_first_attack_after_the_warm_up() -> None:
    """The steps between both have no words to put before it: they are those of a longer warm-up."""
    soon, late = (begin(attack_every=3, warmup=warmup, steps=4) for warmup in (1, 3))
    for run in (soon, late):
        assert run.advance(4)
    ends = soon.state(), late.state()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_it_goes_on_from_a_checkpoint_between_two_attacks() -> None:
    whole, half, rest = (begin(seed, attack_every=3, steps=4) for seed in (5, 5, 9))
    assert whole.advance(4) and half.advance(2)
    rest.restore(safetensors.torch.load(safetensors.torch.save({n: v.contiguous() for n, v in half.state().items()})))
    assert rest.advance(4)
    ends = whole.state(), rest.state()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0]) and ends[0].keys() == ends[1].keys()


def test_a_stage_leaves_the_text_encoder_and_what_it_makes_of_the_prompts(text_experiment: Experiment) -> None:
    bench = Workbench(text_experiment)
    values = {"steps": 2, "warmup": 1, "attack_steps": 1, "chain_steps": 2, "learning_rate": 1e-3}
    spec = TrialSpec("t", 0, text_experiment, "adv_unlearn", values, 0, (AttackPlan("a", "dimra", {}),), (0, 1))
    stage = UnlearnStage(bench, spec)
    assert stage.advance(Stopwatch(), math.inf)
    artifact = stage.commit(Stopwatch())
    model, base = model_of(bench, artifact.key), model_of(bench, model_key(text_experiment, "base"))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), base.parameters(), strict=True))
    keys = [artifact.key_read_with(name) for name in ("prompts", "text_encoder")]
    trained_encoders, theirs = encoders_of(text_experiment, artifact), encoders_of(text_experiment)
    pairs = list(zip(trained_encoders.encoders[0].parameters(), theirs.encoders[0].parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in pairs) and not any(a.requires_grad for a, _ in pairs)
    prompts = load_prompts(bench.store.get(keys[0]))
    assert not torch.equal(prompts.context, base.prompts.context)
    assert torch.equal(model.prompts.context, prompts.context)
    assert torch.equal(prompts.tokens, base.prompts.tokens)

    for lost in keys:
        pipeline = Pipeline(spec, bench)
        assert pipeline.step().stage["found"]
        bench.store.delete(lost)
        with pytest.raises(MissingArtifact):
            encoders_of(text_experiment, artifact), model_of(bench, artifact.key)
        pipeline.make_again(lost)
        assert bench.store.find(artifact.key) is None, "it is no use without, and is made anew with it"
        pipeline = Pipeline(spec, bench)
        assert not pipeline.step().stage["found"] and bench.store.find(lost) is not None
    pipeline.make_again(model_key(text_experiment, "base"))
    assert bench.store.find(artifact.key) is not None


def test_what_it_cannot_forget_and_meta_around_it_are_refused_in_one_line() -> None:
    member, three = METHODS["adv_unlearn"], parse_forget("3", DATASETS["digits"])
    with pytest.raises(
        ValueError, match=r"'adv_unlearn' trains the text encoder, which a class-conditional model has none of$"
    ):
        member.check_forgets(three)
    with pytest.raises(ValueError, match="trains the text encoder"):
        member.begin(text_model(), text_problem(), member.configure({}), 0)
    with pytest.raises(ValueError, match=r"meta\(adv_unlearn\): adv_unlearn is more than a step to fine-tune by"):
        METHODS["meta(adv_unlearn)"]
    for values in (
        {"prefix": 0},
        {"warmup": -1},
        {"attack_learning_rate": 0.0},
        {"attack_begins": "first"},
        {"steps": -1},
    ):
        with pytest.raises(ValueError, match=next(iter(values))):
            member.configure(values)
