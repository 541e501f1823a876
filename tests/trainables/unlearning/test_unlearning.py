"""What every unlearning method must do, and the losses against their published formulas."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import conformance
import pytest
import torch
from diffusers import UNet2DModel
from formula import in_float64, noised, start
from text_problem import text_problem

from trainables.data import DATASETS, Images
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.weights import whole_weights
from trainables.diffusion import Loss, denoising_loss, noise_schedule
from trainables.forgetting import CONDITIONS, INSTANCES, Forget
from trainables.needs import SHARED
from trainables.registry import outside, withdraw
from trainables.relearning.experiment import AttackPlan, TrialSpec
from trainables.relearning.products import Workbench
from trainables.relearning.products.models import base_of
from trainables.relearning.stages.unlearn import UnlearnStage
from trainables.running.stopwatch import Stopwatch
from trainables.training.device import Device
from trainables.unlearning import (
    CLASSES,
    METHODS,
    FineTuningSettings,
    Mixture,
    Problem,
    balance,
    mixture_weights,
    register,
    register_run,
    retained_batch,
    split_batch,
)

BATCH, SHARE, RATIO = 8, 0.25, 3.0
MEMORIZED, KEPT = 2, 6


RUNS_OF_THEIR_OWN = {"sfd"}


@pytest.fixture(scope="module")
def instances() -> Problem:
    """Three of the digits' training images to be forgotten by an unconditional model."""
    train = DATASETS["digits"].load().train
    unlabelled = Images(train.images, torch.zeros_like(train.conditions))
    forgetting = Forget("instances:0,1,2", (), (0,), instances=(0, 1, 2))
    forget, retain = forgetting.split(unlabelled)
    torch.manual_seed(0)
    recipe = BaseModel(channels=(8, 16), norm_groups=8)
    model = UNet2DModel(**recipe.config(DATASETS["digits"]) | {"num_class_embeds": None})
    model.eval().requires_grad_(False)
    unshared = Problem(
        base_model=lambda: model,
        schedule=noise_schedule(),
        forget=forget,
        retain=retain,
        forgetting=forgetting,
        null_condition=1,
        features=lambda images: images.flatten(1).double().numpy(),
        generated=lambda condition, n: unlabelled.images[:n],
        device=Device(),
    )
    return replace(unshared, shared={name: SHARED[name].make(unshared, 0) for name in SHARED.names()})


@pytest.fixture
def problem_for(problem: Problem, instances: Problem) -> Callable[[str], Problem]:
    return lambda method: problem if CONDITIONS in METHODS[method].forgets else instances


CLOSED_FORMS = [name for name in METHODS.names() if METHODS[name].closed_form]
WRAPPED = [f"{wrapper}(dimum)" for wrapper in METHODS.wrappers.names()]
OF_PROMPTS_ALONE = [name for name in METHODS.names() if CLASSES in METHODS[name].refuses]  # tested by themselves
METHODS_UNDER_TEST = [*(name for name in METHODS.names() if name not in (*CLOSED_FORMS, *OF_PROMPTS_ALONE)), *WRAPPED]
OF_PROMPTS = [name for name in METHODS_UNDER_TEST if METHODS[name].can_forget(text_problem().forgetting)]


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("method", METHODS_UNDER_TEST)
def test_every_method(method: str, check: conformance.Check, problem_for: Callable[[str], Problem]) -> None:
    check(method, problem_for(method))


@pytest.mark.parametrize("check", conformance.STEP_CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("method", [m for m in METHODS_UNDER_TEST if m not in RUNS_OF_THEIR_OWN])
def test_every_method_that_is_a_step(
    method: str, check: conformance.Check, problem_for: Callable[[str], Problem]
) -> None:
    check(method, problem_for(method))


@pytest.mark.parametrize("check", conformance.EDIT_CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("method", CLOSED_FORMS)
def test_every_closed_form(method: str, check: conformance.Check) -> None:
    check(method, text_problem())


@pytest.mark.parametrize("method", OF_PROMPTS)
def test_every_method_of_conditions_forgets_prompts_too(method: str) -> None:
    """Two steps on a text U-Net, its keys and values alone: they move, other weights stay, and a checkpoint goes on."""
    problem = text_problem()
    matters = {n: torch.ones_like(p) for n, p in problem.base.named_parameters()}
    problem = replace(problem, shared=dict.fromkeys(METHODS[method].needs, matters))
    values = {"steps": 2, "trained_parameters": "cross_attention_kv"}
    whole, half, rest = (conformance.begin(method, problem, **values) for _ in range(3))
    assert whole.advance(2) and half.advance(1)
    rest.restore(half.state())
    assert rest.advance(2)
    before, after = problem.base.state_dict(), conformance.weights(whole)
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert moved and moved <= {n for n in before if ".attn2.to_k." in n or ".attn2.to_v." in n}
    assert conformance.equal(after, conformance.weights(rest))


@pytest.mark.parametrize("method", [m for m in METHODS.names() if set(METHODS[m].forgets) == {CONDITIONS, INSTANCES}])
def test_a_method_that_forgets_instances_too_conforms_on_them(method: str, instances: Problem) -> None:
    for check in conformance.CHECKS[:5]:
        check(method, instances)


def test_a_new_method_registered_by_a_stranger_conforms(problem: Problem) -> None:
    """A method that is written here, and nowhere else, passes every check."""

    @dataclass(frozen=True)
    class Blur(Mixture):
        radius: int = 3

    @register("blur", Blur)
    def loss(problem: Problem, settings: Blur) -> Loss:
        """The forgotten condition is taught blurred images of itself."""
        problem = problem.here()
        forgotten, kept = settings.counts

        def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
            x_f = problem.forget.draw(forgotten, generator)
            blurred = torch.nn.functional.avg_pool2d(x_f.images, settings.radius, 1, settings.radius // 2)
            x_r = retained_batch(problem, kept, settings.condition_dropout, generator)
            keep = denoising_loss(model, problem.schedule, x_r.images, x_r.conditions, generator)
            return denoising_loss(model, problem.schedule, blurred, x_f.conditions, generator) + keep

        return step

    try:
        for check in (*conformance.CHECKS, *conformance.STEP_CHECKS):
            check("blur", problem)
    finally:
        withdraw(one for one in outside() if one.name == "blur")


@pytest.mark.parametrize(
    ("check", "fault", "said"),
    [
        (conformance.its_seed_alone_decides_its_weights, "global generator", "one seed gave two results"),
        (conformance.it_leaves_the_problem_as_it_was, "changes the forget set", "are not its to change"),
        (conformance.it_goes_on_from_a_checkpoint_to_the_same_weights, "forgets its own state", "was not restored"),
        (conformance.its_step_is_a_mean, "sums", r"of batches of 16 and of 256 the loss is \["),
        (conformance.its_shapes_are_right_without_values, "looks at a value", r"item\(\) cannot be called on meta"),
        (
            conformance.what_is_to_be_forgotten_decides_its_weights,
            "ignores the forget set",
            "whatever is to be forgotten, its weights are the same",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_a_method_with_a_fault_is_found_out(check: conformance.Check, fault: str, said: str, problem: Problem) -> None:
    """The checks can fail: each has a method made to break it, and says so."""
    mine = replace(problem, forget=Images(problem.forget.images.clone(), problem.forget.conditions))

    @register("faulty", FineTuningSettings)
    def loss(problem: Problem, settings: FineTuningSettings) -> Loss:
        here, calls = problem.here(), itertools.count()

        def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
            drawn = here.retain.draw(settings.batch, generator)
            value = denoising_loss(model, problem.schedule, drawn.images, drawn.conditions, generator)
            if fault != "ignores the forget set":
                drawn = here.forget.draw(settings.batch, generator)
                value = value + denoising_loss(model, problem.schedule, drawn.images, drawn.conditions, generator)
            if fault == "global generator":
                value = value * torch.rand(())
            if fault == "changes the forget set":
                here.forget.images.mul_(0.9)
            if fault == "forgets its own state":
                value = value * (1 + next(calls)) + next(model.parameters()).sum() * next(calls)
            if fault == "sums":
                value = value * settings.batch
            if fault == "looks at a value" and value.item() > 0:
                value = value * 2
            return value

        return step

    try:
        with pytest.raises(RuntimeError if fault == "looks at a value" else AssertionError, match=said):
            check("faulty", mine)
    finally:
        withdraw(one for one in outside() if one.name == "faulty")


@pytest.mark.parametrize("seed", [0, 1])
def test_the_dimum_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int) -> None:
    """λ_r · E‖ε - ε_θ(x_t, t, c)‖² over D_r + λ_m · E‖ε - ε_θ(x_t, t, c_f)‖² over q_alt, λ_m + λ_r = 1."""
    problem, model = in_float64(problem), start(bench).double()
    values = {"replacement": "class_fixed", "replacement_images": 5, "lambda_ratio": RATIO, "forget_share": SHARE}
    settings = METHODS["dimum"].configure(values | {"batch": BATCH, "condition_dropout": 0.5})
    with torch.no_grad():
        value = METHODS["dimum"].loss(problem, settings)(model, torch.Generator().manual_seed(seed))

        fours = problem.retain.images[problem.retain.conditions == 4]
        q_alt = fours[torch.randperm(len(fours), generator=torch.Generator().manual_seed(0))[:5]]
        g = torch.Generator().manual_seed(seed)
        x_alt = q_alt[torch.randint(5, (MEMORIZED,), generator=g)]
        torch.randint(len(problem.forget), (MEMORIZED,), generator=g)  # which forgotten condition; here there is one
        drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
        c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
        epsilon = torch.randn(BATCH, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (BATCH,), generator=g)

        def mse(x: torch.Tensor, c: torch.Tensor, rows: slice) -> torch.Tensor:
            predicted = model(noised(x, epsilon[rows], t[rows]), t[rows], class_labels=c).sample
            return ((epsilon[rows] - predicted) ** 2).mean()

        memorization = mse(x_alt, torch.full((MEMORIZED,), 3), slice(0, MEMORIZED))
        retention = mse(problem.retain.images[drawn], c, slice(MEMORIZED, BATCH))
    assert value.item() == pytest.approx((0.75 * memorization + 0.25 * retention).item(), rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_label_swap_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int) -> None:
    """λ_f · E‖ε_θ(x_t, t, c_f) - ε_θ(x_t, t, c_alt)‖² over D_f + λ_r · DSM(D_r), λ_f + λ_r = 1."""
    problem, model = in_float64(problem), start(bench).double()
    values = {"alternative": "class_fixed", "lambda_ratio": RATIO, "forget_share": SHARE, "batch": BATCH}
    settings = METHODS["label_swap"].configure(values | {"condition_dropout": 0.5})
    step = METHODS["label_swap"].loss(problem, settings)
    with torch.no_grad():
        value = step(model, torch.Generator().manual_seed(seed))

        g = torch.Generator().manual_seed(seed)
        x_f = problem.forget.images[torch.randint(len(problem.forget), (MEMORIZED,), generator=g)]
        epsilon_f = torch.randn(MEMORIZED, 1, 8, 8, generator=g).double()
        t_f = torch.randint(1000, (MEMORIZED,), generator=g)
        drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
        c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
        epsilon = torch.randn(KEPT, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (KEPT,), generator=g)

        x_t = noised(x_f, epsilon_f, t_f)
        as_forgotten, as_next = (model(x_t, t_f, class_labels=torch.full((MEMORIZED,), c)).sample for c in (3, 4))
        predicted = model(noised(problem.retain.images[drawn], epsilon, t), t, class_labels=c).sample
        expected = 0.75 * ((as_forgotten - as_next) ** 2).mean() + 0.25 * ((epsilon - predicted) ** 2).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_label_swap_does_not_pull_the_alternative_towards_the_forgotten_condition(
    bench: Workbench, problem: Problem
) -> None:
    """The stop-gradient: condition 4's embedding row has no gradient from the swap term."""
    member, model = METHODS["label_swap"], start(bench)
    no_fours = replace(problem, retain=problem.retain.where(problem.retain.conditions != 4))
    step = member.loss(no_fours, member.configure({"batch": BATCH, "alternative": "class_fixed"}))
    step(model, torch.Generator().manual_seed(0)).backward()
    gradient = model.class_embedding.weight.grad.abs().sum(dim=1)
    assert gradient[3] > 0 and gradient[4] == 0


def test_mixture_weights_make_one_mean_of_two() -> None:
    errors = torch.tensor([4.0, 2.0, 1.0, 5.0, 6.0])
    weights = mixture_weights(2, 3, 0.7, 0.3)
    assert (errors * weights).mean().item() == pytest.approx(0.7 * 3 + 0.3 * 4)


@pytest.mark.parametrize("ratio", [0.01, 1.0, 100.0])
def test_balanced_weights_have_the_ratio_and_sum_to_1(ratio: float) -> None:
    forget, keep = balance(ratio)
    assert forget / keep == pytest.approx(ratio) and forget + keep == pytest.approx(1)


@pytest.mark.parametrize("ratio", [0.0, -1.0])
def test_a_ratio_must_be_positive(ratio: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        balance(ratio)


def test_a_batch_holds_both_kinds_of_image() -> None:
    assert [split_batch(8, share) for share in (0.0, 0.25, 1.0)] == [1, 2, 7]
    with pytest.raises(ValueError, match="both kinds"):
        split_batch(1, 0.5)


def test_a_method_that_is_more_than_a_loss_begins_a_run_of_its_own(bench: Workbench) -> None:
    """A closed form, registered and driven by the unlearning stage like any other method."""

    class Halving:
        steps, step, last_loss, facts = 1, 0, 0.0, {"halved": True}

        def __init__(self, model: UNet2DModel) -> None:
            self.model = model

        def advance(self, until: int, deadline: float = float("inf")) -> bool:
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.mul_(0.5)
            self.step = until
            return True

        def trained(self) -> UNet2DModel:
            return self.model

    def begin(model: UNet2DModel, problem: Problem, settings: FineTuningSettings, seed: int) -> Halving:
        return Halving(model)

    begin.__module__ = "trainables.unlearning.dimum"  # its code version is a real module's
    METHODS.names()
    register_run("halving", FineTuningSettings)(begin)
    try:
        plan = AttackPlan("a", "dimra", {})
        spec = TrialSpec("t", 0, bench.experiment, "halving", {}, 0, (plan,), (0, 1))
        stage = UnlearnStage(bench, spec)
        assert stage.advance(Stopwatch(), float("inf"))
        weights = whole_weights(stage.commit(Stopwatch()))
    finally:
        del METHODS._members["halving"]  # as a file of the family it is nobody to withdraw
    for name, base in base_of(bench).state_dict().items():
        torch.testing.assert_close(weights[name], base / 2)
