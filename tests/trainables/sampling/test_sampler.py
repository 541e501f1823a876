"""Samplers against diffusers' own loops, guidance against its formula, and what records call each."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pipelines
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from velocity import twin_of

from trainables.diffusion import predict, predict_guided, sample
from trainables.sampling.noise_schedule import NoiseSchedule, schedule_from
from trainables.sampling.sampler import Sampler
from trainables.training.device import Device

CPU = Device()
NOISE = torch.randn((6, 1, 8, 8), generator=torch.Generator().manual_seed(0))
C = torch.tensor([0, 3, 3, 9, 1, 2])


def drawn(model: torch.nn.Module, schedule: object, how: Sampler, batch: int = 512, start: int = 0) -> torch.Tensor:
    parts = sample(model, schedule, NOISE[start:], C[start:], how, CPU, batch=batch, null_condition=10)  # type: ignore[arg-type]
    return torch.cat(list(parts))


@pytest.mark.parametrize("timesteps", [1000, 400])
def test_ddim_draws_what_diffusers_own_pipeline_draws_from_the_same_noise(tmp_path: Path, timesteps: int) -> None:
    pipeline = pipelines.save_ddim(tmp_path, pipelines.unet(None), num_train_timesteps=timesteps, beta_end=0.03)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(batch_size=6, generator=torch.Generator().manual_seed(0), num_inference_steps=4, output_type="pt")
    schedule = schedule_from(dict(pipeline.scheduler.config)).scheduler()
    ours = drawn(pipeline.unet, schedule, Sampler(steps=4))
    torch.testing.assert_close(ours / 2 + 0.5, theirs.images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_dpm_solver_is_diffusers_own_loop(steps: int) -> None:
    model, schedule = pipelines.unet(11), NoiseSchedule(beta_schedule="scaled_linear", clip_sample=False).scheduler()
    solver = DPMSolverMultistepScheduler(beta_schedule="scaled_linear", beta_start=1e-4, beta_end=0.02)
    solver.set_timesteps(steps)
    x = NOISE
    with torch.no_grad():
        for t in solver.timesteps:
            x = solver.step(model(x, t, class_labels=C).sample, t, x).prev_sample
    torch.testing.assert_close(
        drawn(model, schedule, Sampler("dpm-solver++", steps)), x.clamp(-1, 1), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("how", [Sampler(steps=4), Sampler("dpm-solver++", 4), Sampler(steps=4, guidance=3.0)])
def test_a_v_twin_draws_the_same_images(how: Sampler) -> None:
    plain = NoiseSchedule(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False)
    model, velocity = pipelines.unet(11), replace(plain, prediction_type="v_prediction")
    ours = drawn(twin_of(model, plain), velocity.scheduler(), how)
    theirs = drawn(model, plain.scheduler(), how)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert not torch.allclose(drawn(twin_of(model, plain), plain.scheduler(), how), theirs, atol=1e-2), "v is no ε"


def test_what_a_model_predicts_is_said_by_the_schedules_file() -> None:
    v = schedule_from({"_class_name": "DDIMScheduler", "beta_schedule": "linear", "prediction_type": "v_prediction"})
    assert v.prediction_type == "v_prediction" and v.scheduler().config["prediction_type"] == "v_prediction"
    assert v != replace(v, prediction_type="epsilon"), "part of what a model is"


def test_dpm_solver_begins_where_the_noise_is_whatever_ddims_spacing() -> None:
    spacings = {
        tuple(Sampler("dpm-solver++", 5).scheduler(NoiseSchedule(timestep_spacing=s).scheduler()).timesteps.tolist())
        for s in ("leading", "trailing", "linspace")
    }
    assert len(spacings) == 1 and spacings.pop()[0] == 999


@pytest.mark.parametrize("how", [Sampler(steps=3), Sampler("dpm-solver++", 4), Sampler("dpm-solver++", 3, 2.5)])
def test_a_restart_at_a_multiple_of_the_batch_gives_the_same_images(how: Sampler) -> None:
    model, schedule = pipelines.unet(11), NoiseSchedule().scheduler()
    whole = drawn(model, schedule, how, batch=2)
    assert torch.equal(drawn(model, schedule, how, batch=2, start=2), whole[2:])
    assert torch.equal(drawn(model, schedule, how, batch=2), whole), "nothing random is drawn"
    torch.testing.assert_close(drawn(model, schedule, how), whole, rtol=0, atol=1e-4)


def test_guidance_leads_away_from_the_null_condition() -> None:
    model, t = pipelines.unet(11), torch.tensor(500)
    with torch.no_grad():
        conditional, null = (predict(model, NOISE, t, c) for c in (C, torch.full_like(C, 10)))
        for w in (0.0, 1.0, 2.0):
            expected = null + w * (conditional - null)
            torch.testing.assert_close(predict_guided(model, NOISE, t, C, 10, w), expected, rtol=1e-4, atol=1e-5)
    images = [drawn(model, NoiseSchedule().scheduler(), Sampler(steps=3, guidance=w)) for w in (1.0, 3.0)]
    assert not torch.allclose(*images, atol=1e-3)


def test_a_number_in_a_samplers_place_is_that_many_steps_of_ddim() -> None:
    model, schedule = pipelines.unet(11), NoiseSchedule().scheduler()
    assert torch.equal(
        torch.cat(list(sample(model, schedule, NOISE, C, 3, CPU))), drawn(model, schedule, Sampler(steps=3))
    )


def test_what_records_call_a_sampler_tells_all_of_it() -> None:
    names = [s.name for s in (Sampler(), Sampler("dpm-solver++", 20), Sampler(guidance=2.0), Sampler(guidance=1.25))]
    assert names == ["ddim-10", "dpmsolver++-20", "ddim-10-cfg2", "ddim-10-cfg1.25"]


@pytest.mark.parametrize(
    "wrong", [{"kind": "euler"}, {"steps": 0}, {"steps": 1001}, {"guidance": -1.0}, {"guidance": float("nan")}]
)
def test_a_sampler_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        Sampler(**wrong)


def test_a_schedule_written_by_any_sampler_is_the_same_betas() -> None:
    betas = [0.001, 0.01, 0.02, 0.3]
    own = schedule_from({"_class_name": "DDPMScheduler", "trained_betas": betas, "num_train_timesteps": 4})
    assert own.trained_betas == tuple(betas)
    torch.testing.assert_close(own.scheduler().betas, torch.tensor(betas))
    solver = DPMSolverMultistepScheduler(beta_schedule="squaredcos_cap_v2", num_train_timesteps=100, steps_offset=1)
    taken = schedule_from(dict(solver.config) | {"_class_name": "DPMSolverMultistepScheduler"})
    assert (taken.steps_offset, taken.clip_sample) == (0, False)
    torch.testing.assert_close(taken.scheduler().alphas_cumprod, solver.alphas_cumprod)


@pytest.mark.parametrize(
    ("steps", "fields", "said"),
    [
        (501, {}, "begin at t = 500 of 1000"),
        (334, {"steps_offset": 1}, "begin at t = 667 of 1000"),
        (1000, {"steps_offset": 1}, "begin at t = 1000 of a schedule of 1000: take 999"),
        (401, {"num_train_timesteps": 400}, "401 steps of a schedule of 400"),
    ],
)
def test_steps_that_begin_far_below_the_noise_are_refused_with_a_number_that_does_not(
    steps: int, fields: dict[str, int], said: str
) -> None:
    schedule = NoiseSchedule(**fields)
    with pytest.raises(ValueError, match=said) as refusal:
        Sampler(steps=steps).check(schedule)
    mend = int(re.search(r"take (\d+)", str(refusal.value)).group(1))
    Sampler(steps=mend).check(schedule)


def test_the_timestep_that_a_check_reckons_with_is_diffusers_own() -> None:
    for steps in (1, 2, 4, 10, 50, 250, 300, 333, 999):
        for offset in (0, 1):
            schedule = NoiseSchedule(steps_offset=offset)
            Sampler(steps=steps).check(schedule)
            first = Sampler(steps=steps).scheduler(schedule.scheduler()).timesteps[0]
            assert first == 1000 // steps * (steps - 1) + offset
    Sampler(steps=501).check(NoiseSchedule(timestep_spacing="trailing"))
    Sampler("dpm-solver++", 501).check(NoiseSchedule())
