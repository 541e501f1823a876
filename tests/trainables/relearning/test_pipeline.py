"""A trial's stages: in order, found again, stopped anywhere and continued to the same figures."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from tracing import Edited

from trainables.diffusion import sample
from trainables.metrics import aurc
from trainables.relearning.experiment import AttackPlan, Experiment, Limit, TrialSpec
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.products.judge import judge_for
from trainables.relearning.stages import score
from trainables.relearning.stages.attack import attack_key
from trainables.relearning.stages.score import ScoreStage
from trainables.relearning.stages.trajectory import Trajectory, trajectory_key
from trainables.relearning.stages.unlearn import unlearned_key
from trainables.relearning.trial import Pipeline
from trainables.running.report import Report
from trainables.running.stopwatch import Stopwatch
from trainables.store import Store, code
from trainables.store.code import ROOT, Code

MakeSpec = Callable[..., TrialSpec]
AnotherStore = Callable[[str], Experiment]
LADDER = [f"{attack}@{step}" for attack in ("gentle", "public", "anew") for step in (2, 5)]


def run(pipeline: Pipeline, seconds: float = 600.0) -> list[Report]:
    """Steps until the trial is over."""
    reports = [pipeline.step(seconds)]
    while reports[-1].state is None:
        reports.append(pipeline.step(seconds))
        assert len(reports) < 3000, "the trial does not get on"
    return reports


def stages(reports: list[Report]) -> list[str]:
    return [r.stage["stage"] for r in reports if r.stage]


def curves(reports: list[Report]) -> list[dict]:
    """Their rows; within a step their order means nothing."""
    return [row for r in reports for row in sorted(r.curves, key=lambda row: row["metric"])]


def keys(reports: list[Report]) -> list[str]:
    return [r.stage["key"] for r in reports if r.stage]


def forget_stages(experiment: Experiment, lost: list[str]) -> None:
    """Take finished stages out of a store."""
    for key in lost:
        for file in Path(experiment.store).rglob(f"{key}.*"):
            file.unlink()


@pytest.fixture(scope="module")
def spec(experiment: Experiment, make_spec: MakeSpec) -> TrialSpec:
    return make_spec(experiment)


@pytest.fixture(scope="module")
def uninterrupted(spec: TrialSpec) -> list[Report]:
    return run(Pipeline(spec))


def test_a_trial_unlearns_scores_and_climbs_every_ladder(uninterrupted: list[Report]) -> None:
    assert stages(uninterrupted) == ["unlearn", "score", *LADDER]
    assert [r.state for r in uninterrupted] == [None] * (len(uninterrupted) - 1) + ["COMPLETE"]
    assert not any(r.stage["found"] for r in uninterrupted if r.stage)
    assert all(r.stage["wall_s"] > 0 for r in uninterrupted if r.stage)


def test_the_judges_code_is_code_of_the_figures(spec: TrialSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    judged, package, module = Pipeline(spec), Code(ROOT), judge_for(spec.experiment).module
    monkeypatch.setattr(code, "_CODE", package)
    before = judged._code_version()
    monkeypatch.setattr(code, "_CODE", Edited(package, module, f"{package.source(module)}\nmore = 1\n"))
    assert judged._code_version() != before, f"{module} gives the figures and is not in their code"


def test_an_attack_moves_the_model_at_every_rung(spec: TrialSpec, uninterrupted: list[Report]) -> None:
    confidence = {
        (row["attack"], row["attack_step"]): row["value"]
        for row in curves(uninterrupted)
        if row["metric"] == "forgotten_confidence"
    }
    assert len(set(confidence.values())) == len(confidence) == 1 + len(LADDER)


def test_an_attack_that_stops_leaves_the_model_as_it_is(spec: TrialSpec, uninterrupted: list[Report]) -> None:
    attack = spec.attacks[0]
    stopped = replace(attack, settings=attack.settings | {"stop_after": 2})
    rows = curves(run(Pipeline(replace(spec, attacks=(stopped,)))))
    told = {(r["attack_step"], r["metric"]): r["value"] for r in rows if r["attack"] == attack.name}
    going = {(r["attack_step"], r["metric"]): r["value"] for r in curves(uninterrupted) if r["attack"] == attack.name}
    assert told[2, "forgotten_confidence"] == going[2, "forgotten_confidence"]
    assert told[5, "forgotten_confidence"] == pytest.approx(told[2, "forgotten_confidence"])  # sampled in other batches
    assert going[5, "forgotten_confidence"] != pytest.approx(told[2, "forgotten_confidence"])
    assert told[5, "distance_unlearned"] == told[2, "distance_unlearned"] < going[5, "distance_unlearned"]


def test_past_the_stop_of_an_attack_nothing_is_drawn_and_every_figure_is_the_same(
    spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def counting(model: UNet2DModel, schedule: DDIMScheduler, noise: torch.Tensor, *rest: Any, **how: Any) -> Any:
        drawn.append(len(noise))
        return sample(model, schedule, noise, *rest, **how)

    monkeypatch.setattr(score, "sample", counting)
    attack = AttackPlan("stopped", "dimra", spec.attacks[0].settings | {"stop_after": 2, "learning_rate": 2e-3})

    def figures_of(*rungs: int) -> dict[int, dict[str, tuple[float, int]]]:
        drawn.clear()
        found: dict[int, dict[str, tuple[float, int]]] = {}
        for row in curves(run(Pipeline(replace(spec, attacks=(attack,), rungs=(0, *rungs))))):
            if row["attack"] == attack.name:
                found.setdefault(row["attack_step"], {})[row["metric"]] = row["value"], row["samples"]
        return found

    standing = figures_of(1, 2, 3, 4, 5)
    forgotten, everything = 8, 8 + 2 * 9
    assert drawn == [forgotten, forgotten, everything], "at 1, at 2, and at the last rung, for the retained conditions"
    climbed, model = replace(spec, rungs=(0, 1, 2, 3, 4, 5)), unlearned_key(spec)
    forget_stages(spec.experiment, [attack_key(climbed, attack, step, model) for step in (2, 3, 4)])
    anew = figures_of(1, 4, 6)  # no rung before 4 is past the stop
    assert drawn == [forgotten, everything], "1 is found"
    assert standing[2] == standing[3] == standing[4] == anew[4] != standing[1]


def test_after_the_attack_that_brings_most_back_it_is_said_what_is_left(uninterrupted: list[Report]) -> None:
    figures = uninterrupted[-1].figures
    ends: dict[str, dict[str, float]] = {}
    for row in curves(uninterrupted):
        if row["counts"] and row["attack_step"] == 5:
            ends.setdefault(row["attack"], {})[row["metric"]] = row["value"]
    assert set(ends) == {"gentle", "public"}, "the third does not count"
    worst = max(ends.values(), key=lambda end: end["relearning_accuracy"])
    assert figures["attacked_relearning_accuracy"] == worst["relearning_accuracy"]
    assert figures["attacked_retain_accuracy"] == worst["retain_accuracy"]
    assert figures.get("attacked_fid_delta") is None, "N differs before and after: no difference of Fréchet distances"


def test_reports_travel_as_json(uninterrupted: list[Report]) -> None:
    for report in uninterrupted:
        assert Report(**json.loads(json.dumps(report.to_json()))) == report


def test_a_second_trial_of_the_same_spec_finds_every_stage(spec: TrialSpec, uninterrupted: list[Report]) -> None:
    again = run(Pipeline(replace(spec, trial_id="another", replicate=5)))
    assert stages(again) == stages(uninterrupted)
    assert all(r.stage["found"] for r in again if r.stage)
    assert again[-1].figures == uninterrupted[-1].figures
    assert curves(again) == curves(uninterrupted)


def test_a_trial_stopped_again_and_again_and_once_lost_ends_with_the_same_figures(
    spec: TrialSpec, another_store: AnotherStore, uninterrupted: list[Report]
) -> None:
    elsewhere = another_store("stopped")
    forget_stages(elsewhere, keys(uninterrupted))
    interrupted = replace(spec, experiment=elsewhere)
    reports: list[Report] = []
    pipeline = Pipeline(interrupted)
    while not (reports and reports[-1].state):
        reports.append(pipeline.step(seconds=0.002))
        if len(reports) in (3, 7, 12, 20):
            pipeline = Pipeline(interrupted)  # all it knew is gone; the store is not
        assert len(reports) < 3000
    assert sum(r.stage is None for r in reports) > 5, "it was stopped inside stages"
    assert reports[-1].figures == uninterrupted[-1].figures
    done = {(row["attack"], row["attack_step"], row["metric"]): row for row in curves(reports)}
    expected = {(row["attack"], row["attack_step"], row["metric"]): row for row in curves(uninterrupted)}
    assert done == expected
    assert not list(Path(elsewhere.store).glob("partial/*")), "no in-stage checkpoint outlives its stage"


def test_a_step_without_any_time_still_gets_on(spec: TrialSpec, another_store: AnotherStore) -> None:
    pipeline = Pipeline(replace(spec, experiment=another_store("hurried"), seed=1, attacks=()))
    for _ in range(20):
        if pipeline.step(seconds=0).stage:
            return
    pytest.fail("four training steps are not done after twenty calls")


def test_the_base_models_score_on_a_new_seed_is_a_stage_of_whoever_comes_first(
    spec: TrialSpec, another_store: AnotherStore
) -> None:
    copy = another_store("new seed")
    there = replace(spec, experiment=copy, seed=977, attacks=())
    first, second = run(Pipeline(there)), run(Pipeline(replace(there, settings=spec.settings | {"steps": 2})))
    assert stages(first) == ["unlearn", "base score", "score"] and stages(second) == ["unlearn", "score"]
    made = first[1].stage
    assert made is not None and not made["found"] and made["sampling_s"] > 0 and made["core_s"] > 0
    assert not first[1].curves and not first[1].figures
    base = run(Pipeline(replace(there, method="none", settings={})))
    assert stages(base) == ["score"] and base[0].stage is not None and base[0].stage["found"], "its own score"
    fids = {reports[-1].figures["fid_base"] for reports in (first, second, base)}
    assert fids == {base[-1].figures["fid"]} and base[-1].figures["fid_delta"] == 0


def test_sampling_goes_on_after_the_batches_that_are_drawn(
    spec: TrialSpec, another_store: AnotherStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.relearning.stages.score.SAMPLE_BATCH", 16)
    monkeypatch.setattr("trainables.relearning.stages.score.FIRST", 8)
    copy = another_store("sampling")

    def stage() -> ScoreStage:
        return ScoreStage(Workbench(copy), model_key(copy, "base"), spec.samples, seed=7)

    whole, stopped = stage(), stage()
    assert whole.advance(Stopwatch(), float("inf")) and not stopped.advance(Stopwatch(), deadline=0)
    stopped.save_partial()
    continued = stage()
    assert [len(batch) for batch in continued.sampling.done] == [8 + 16]
    assert continued.advance(Stopwatch(), float("inf"))
    assert torch.equal(continued.sampling.images(), whole.sampling.images())


def test_a_trajectory_without_its_checkpoint_is_trained_again_to_the_same_figures(
    spec: TrialSpec, another_store: AnotherStore, uninterrupted: list[Report]
) -> None:
    copy = another_store("lost")
    attack = spec.attacks[0]
    theta = unlearned_key(spec)
    forget_stages(copy, keys(uninterrupted)[2:])
    crashed = Pipeline(replace(spec, experiment=copy))
    for _ in range(3):
        crashed.step()
    trajectory = trajectory_key(spec, attack, theta)
    assert Store(copy.store).load_partial(trajectory) is not None
    Store(copy.store).drop_partial(trajectory)
    reports = run(Pipeline(replace(spec, experiment=copy)))
    assert [r.stage["found"] for r in reports if r.stage][:4] == [True, True, True, False]
    assert reports[-1].figures == uninterrupted[-1].figures
    assert curves(reports) == curves(uninterrupted)


def test_a_trajectory_that_is_past_the_rung_asked_for_starts_again(
    spec: TrialSpec, another_store: AnotherStore, uninterrupted: list[Report]
) -> None:
    copy = another_store("past")
    forget_stages(copy, keys(uninterrupted)[2:])
    longer = Pipeline(replace(spec, experiment=copy, rungs=(0, 4, 9)))
    for _ in range(3):
        longer.step()
    reports = run(Pipeline(replace(spec, experiment=copy)))
    assert curves(reports) == curves(uninterrupted)


def test_robustness_is_one_minus_the_worst_aurc_of_the_attacks_that_count(
    spec: TrialSpec, uninterrupted: list[Report]
) -> None:
    accuracy = {
        (row["attack"], row["attack_step"]): row["value"]
        for row in curves(uninterrupted)
        if row["metric"] == "relearning_accuracy"
    }

    def area(attack: str) -> float:
        y0, y2, y5 = accuracy["none", 0], accuracy[attack, 2], accuracy[attack, 5]
        x2, x5 = math.log2(3), math.log2(6)
        return ((y0 + y2) / 2 * x2 + (y2 + y5) / 2 * (x5 - x2)) / x5

    assert uninterrupted[-1].figures["robustness"] == pytest.approx(1 - max(area("gentle"), area("public")))
    assert area("gentle") == pytest.approx(
        aurc({0: accuracy["none", 0], 2: accuracy["gentle", 2], 5: accuracy["gentle", 5]})
    )


def test_an_attack_that_does_not_count_leaves_robustness_as_it_is(spec: TrialSpec, uninterrupted: list[Report]) -> None:
    """Whatever it finds: the same suite, each attack counting in turn, gives each attack's own figure."""

    def robustness(*counting: str) -> float | None:
        attacks = tuple(replace(a, counts=a.name in counting) for a in spec.attacks)
        return run(Pipeline(replace(spec, attacks=attacks)))[-1].figures["robustness"]

    each = {name: robustness(name) for name in ("gentle", "public", "anew")}
    assert len(set(each.values())) > 1
    assert uninterrupted[-1].figures["robustness"] == min(each["gentle"], each["public"])
    assert robustness("gentle", "public", "anew") == min(each.values())
    assert robustness() is None
    assert {row["attack"]: row["counts"] for row in curves(uninterrupted)}["anew"] is False


def test_curves_hold_every_figure_with_its_samples_and_interval(uninterrupted: list[Report]) -> None:
    rows = {(r["attack"], r["attack_step"], r["metric"]): r for r in curves(uninterrupted)}
    attacks = ("gentle", "public", "anew")
    assert {(a, k) for a, k, _ in rows} == {("none", 0)} | {(a, k) for a in attacks for k in (0, 2, 5)}
    forgotten = rows["gentle", 2, "relearning_accuracy"]
    assert forgotten["samples"] == 8 and forgotten["lower"] <= forgotten["value"] <= forgotten["upper"]
    assert rows["none", 0, "retain_accuracy"]["samples"] == 9 * 4
    assert rows["gentle", 5, "fid"]["samples"] == 9 * 2, "attacked_per_retained"
    assert ("gentle", 2, "fid") not in rows, "between the ends of a ladder only the forgotten condition is sampled"
    assert rows["public", 5, "fid"]["lower"] is None
    assert (rows["public", 5, "fid"]["auxiliary"], rows["none", 0, "fid"]["auxiliary"]) == ("public", None)


def test_fid_delta_is_the_difference_to_the_base_model_under_the_same_noise(
    experiment: Experiment, uninterrupted: list[Report], make_spec: MakeSpec
) -> None:
    figures = uninterrupted[-1].figures
    assert figures["fid_delta"] == figures["fid"] - figures["fid_base"] != 0
    base = run(Pipeline(make_spec(experiment, method="none", settings={}, attacks=())))[-1]
    assert base.figures["fid_delta"] == 0
    assert base.figures["fid"] == figures["fid_base"]


def test_a_precision_that_is_not_the_devices_usual_one_is_told_with_it(
    spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(replace(spec, experiment=replace(spec.experiment, precision="bf16")))
    monkeypatch.setattr(pipeline.bench.store, "get", lambda key: SimpleNamespace(facts={}))
    monkeypatch.setattr("trainables.relearning.trial.features_of", lambda bench: SimpleNamespace(weights_hash=""))
    assert pipeline._dependencies()["device"] == "cpu bf16"


def test_the_figures_say_what_they_depend_on(
    experiment: Experiment, spec: TrialSpec, uninterrupted: list[Report]
) -> None:
    figures = uninterrupted[-1].figures
    assert (figures["seed"], figures["samples_forgotten"], figures["samples_per_retained"]) == (0, 8, 4)
    assert (figures["sampler"], figures["feature_network"], figures["device"]) == ("ddim-4", "classifier", "cpu")
    store = Store(experiment.store)
    for name in ("reference", "base_model", "unlearned_model", "score", "base_score"):
        assert store.find(figures[name]) is not None, name


@pytest.mark.parametrize(
    "limit", [Limit("unlearning_accuracy", 1.5, at_most=False), Limit("fid_delta", -1e6, at_most=True)]
)
def test_a_trial_that_surely_breaks_a_limit_is_pruned_before_the_attack(
    spec: TrialSpec, uninterrupted: list[Report], limit: Limit
) -> None:
    pipeline = Pipeline(replace(spec, gate=(limit,), fid_delta_sd=1.0))
    reports = run(pipeline)
    last = reports[-1]
    assert stages(reports) == ["unlearn", "score"]
    assert last.state == "PRUNED" and last.cause is not None and limit.metric in last.cause
    assert "robustness" not in last.figures
    assert last.figures[limit.metric] == uninterrupted[-1].figures[limit.metric]
    with pytest.raises(RuntimeError, match="over"):
        pipeline.step()


def test_a_limit_that_may_hold_stops_nothing(spec: TrialSpec) -> None:
    reports = run(Pipeline(replace(spec, gate=(Limit("fid_delta", 1e6, at_most=True),), fid_delta_sd=1.0)))
    assert reports[-1].state == "COMPLETE" and reports[-1].cause is None


@pytest.mark.parametrize("start", ["base", "retrain"])
def test_a_control_is_scored_and_attacked_as_it_is(experiment: Experiment, make_spec: MakeSpec, start: str) -> None:
    attacks = make_spec(experiment).attacks[:1]
    reports = run(Pipeline(make_spec(experiment, method="none", settings={}, start=start, attacks=attacks)))
    assert stages(reports) == ["score", "gentle@2", "gentle@5"]
    assert reports[-1].figures["unlearned_model"] == reports[-1].figures["base_model"] == model_key(experiment, start)


def test_a_spec_survives_json(experiment: Experiment, make_spec: MakeSpec) -> None:
    spec = make_spec(experiment, gate=(Limit("fid_delta", 3.0, at_most=True),), start="retrain", replicate=2)
    again = TrialSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec and again.experiment.base.channels == (8, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"step": 3}}, "has no setting step"),
        ({"settings": {"replacement": "class_neerest"}}, "class_neerest"),
        ({"method": "dimun"}, "did you mean 'dimum'"),
        ({"start": "control"}, "'control'"),
    ],
)
def test_a_spec_with_an_unknown_value_is_refused_at_once(
    experiment: Experiment, make_spec: MakeSpec, changes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Pipeline(make_spec(experiment, **changes))


@pytest.mark.parametrize(
    "attack",
    [
        AttackPlan("a", "dimra", {"learning_rat": 1.0}),
        AttackPlan("a", "dimrra", {}),
        AttackPlan("a", "dimra", {"auxiliary": "retained"}),
    ],
    ids=["setting", "method", "auxiliary set"],
)
def test_an_attack_with_an_unknown_value_is_refused_at_once(
    experiment: Experiment, make_spec: MakeSpec, attack: AttackPlan
) -> None:
    with pytest.raises(ValueError):
        Pipeline(make_spec(experiment, attacks=(attack,)))


@pytest.mark.parametrize("rungs", [(), (1, 5), (0, 5, 2)])
def test_rungs_that_do_not_climb_from_0_are_refused(
    experiment: Experiment, make_spec: MakeSpec, rungs: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError):
        Pipeline(make_spec(experiment, rungs=rungs))


def test_attacks_whose_random_streams_differ_have_different_keys(experiment: Experiment, make_spec: MakeSpec) -> None:
    """The stream is drawn from the attack's name; two names that share a key would share the first one's figures."""
    spec = make_spec(experiment)
    one, two = (AttackPlan(name, "dimra", {"auxiliary": "retain"}) for name in ("one", "two"))
    same_stream = stream_of(spec, one) == stream_of(spec, two)
    same_key = attack_key(spec, one, 2, "m") == attack_key(spec, two, 2, "m")
    assert same_stream == same_key


def stream_of(spec: TrialSpec, attack: AttackPlan) -> bytes:
    trajectory = Trajectory(Workbench(spec.experiment), spec, attack, model_key(spec.experiment, "base"))
    return trajectory.run.generator.get_state().numpy().tobytes()


def test_a_stage_whose_checkpoint_takes_long_goes_on_without_one_until_it_is_due(
    spec: TrialSpec, another_store: AnotherStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []
    taken: list[float] = []
    save = Store.save_partial

    def slow(store: Store, key: str, tensors: Mapping[str, torch.Tensor]) -> None:
        save(store, key, tensors)
        saved.append(key)
        taken.append(5.0)  # the next is due after 100 s

    monkeypatch.setattr(
        "trainables.running.pace.time", SimpleNamespace(monotonic=lambda: time.monotonic() + sum(taken))
    )
    monkeypatch.setattr(Store, "save_partial", slow)
    copy = another_store("slow")
    pipeline = Pipeline(replace(spec, experiment=copy, seed=3, attacks=()))
    reports = [pipeline.step(seconds=0) for _ in range(3)]
    assert [r.stage for r in reports] == [None] * 3 and saved == [unlearned_key(pipeline.spec)]
    partial = Store(copy.store).load_partial(saved[0])
    assert partial is not None and partial["step"] == 1, "the first, and none of the next steps"
    assert pipeline.save_partial() == {"stage": "unlearn", "key": saved[0]}, "asked for, it is left at once"
    partial = Store(copy.store).load_partial(saved[0])
    assert partial is not None and partial["step"] == 3


def test_a_ladder_whose_checkpoint_takes_long_saves_it_once_and_a_lost_process_trains_on_from_there(
    spec: TrialSpec, another_store: AnotherStore, uninterrupted: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rungs at 1, 2, 3 and 5 of which only the first left one: the figures after the loss are those without it."""
    attacked = replace(spec, experiment=another_store("whole"), attacks=spec.attacks[:1], rungs=(0, 1, 2, 3, 5))
    whole = run(Pipeline(attacked))
    copy = another_store("ladder")
    forget_stages(copy, keys(whole)[2:])
    lost = replace(attacked, experiment=copy)
    trajectory = trajectory_key(lost, lost.attacks[0], unlearned_key(lost))
    clock = iter(range(0, 10**9, 30))
    monkeypatch.setattr("trainables.running.pace.time", SimpleNamespace(monotonic=lambda: next(clock)))
    crashed = Pipeline(lost)
    assert stages([crashed.step(600) for _ in range(5)])[2:] == ["gentle@1", "gentle@2", "gentle@3"]
    partial = Store(copy.store).load_partial(trajectory)
    assert partial is not None and partial["step"] == 1
    reports = run(Pipeline(lost))
    assert [r.stage["found"] for r in reports if r.stage] == [True] * 5 + [False]
    assert curves(reports) == curves(whole) and reports[-1].figures == whole[-1].figures
