"""Methods on a text U-Net against their published formulas, written out in float64: of models that predict ε, and v.

Prompts are rows; each forgotten one has an anchor of its own, the same prompt with a bag where it has a sneaker.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from ddim import literal_chains
from formula import alpha_bar, epsilon_of, noised
from text_problem import ANCHORS, CELLS, FORGOTTEN, NULL, RETAINED, TEXTS, text_problem, text_unet

from trainables.data import NOTHING, Dataset, Facet, Images
from trainables.denoisers.models import trained_parameters
from trainables.denoisers.text_unet import TextUNet
from trainables.fine_tuning import FineTuning
from trainables.forgetting import parse_forget
from trainables.needs import SHARED
from trainables.unlearning import METHODS, Problem
from trainables.unlearning._replacement import OTHER_LABEL, REPLACEMENTS, alternative_conditions
from trainables.unlearning.dimum import CHOICES
from trainables.unlearning.meta import related_benign, unrelated

BATCH, ERASED, KEPT = 8, 2, 6
RATIO = 3.0  # λ_f / λ_r, so λ_f = 3/4
MIXED = {"batch": BATCH, "forget_share": 0.25, "condition_dropout": 0.5}
ETA, GUIDANCE, STEPS, LAMBDA = 1.5, 3.0, 4, 2.0
SAMPLED = MIXED | {"retain_weight": LAMBDA, "guidance": GUIDANCE, "chain_steps": STEPS}
ANCHOR_OF = torch.full((NULL,), -1).index_copy(0, torch.tensor(FORGOTTEN), torch.tensor(ANCHORS))

both_kinds = pytest.mark.parametrize("velocity", [False, True], ids=["epsilon", "v"])


class Draws:
    """The random choices of a step, in the order in which methods make them, and what they are of."""

    def __init__(self, problem: Problem, generator: torch.Generator, velocity: bool) -> None:
        self.problem, self.g, self.velocity = problem, generator, velocity

    def forgotten(self, n: int) -> torch.Tensor:
        """Which of the forget set's images."""
        return torch.randint(len(self.problem.forget), (n,), generator=self.g)

    def prompts(self, n: int) -> torch.Tensor:
        """Which of the forgotten prompts, where no image of them is needed: each as often as any other."""
        return torch.tensor(FORGOTTEN)[torch.randint(len(FORGOTTEN), (n,), generator=self.g)]

    def noising(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(x_t, t, what a model is to predict): ε, or √ᾱ_t ε - √(1 - ᾱ_t) x."""
        epsilon = torch.randn(x.shape, generator=self.g).double()
        t = torch.randint(1000, (len(x),), generator=self.g)
        v = alpha_bar(t).sqrt() * epsilon - (1 - alpha_bar(t)).sqrt() * x
        return noised(x, epsilon, t), t, v if self.velocity else epsilon

    def retained(self, n: int = KEPT) -> tuple[torch.Tensor, torch.Tensor]:
        """Images of the retain set and their rows, half of which become the empty prompt's."""
        drawn = torch.randint(len(self.problem.retain), (n,), generator=self.g)
        dropped = torch.rand(n, generator=self.g) < 0.5
        rows = torch.where(dropped, torch.tensor(NULL), self.problem.retain.conditions[drawn])
        return self.problem.retain.images[drawn], rows

    def dsm(self, model: TextUNet, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        x_t, t, aim = self.noising(x)
        return ((aim - epsilon_of(model, x_t, t, rows)) ** 2).mean()

    def retain_loss(self, model: TextUNet) -> torch.Tensor:
        return self.dsm(model, *self.retained())


def student() -> TextUNet:
    """A model in float64 that is no longer θ₀."""
    return text_unet(seed=1)


def agree(model: TextUNet, value: torch.Tensor, expected: torch.Tensor) -> None:
    """Both losses and both gradients of all weights, to 1e-6."""
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    parameters = list(model.parameters())
    found, written_out = (
        torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)]
        )
        for loss in (value, expected)
    )
    assert (found - written_out).norm() <= 1e-6 * written_out.norm() and written_out.norm() > 0


def check(method: str, velocity: bool, values: dict[str, Any], literal: Any) -> None:
    """A method's loss against ``literal(model, problem, draws)``."""
    problem, model, member = text_problem(velocity), student(), METHODS[method]
    if member.needs:
        shared = {name: {n: torch.ones_like(p) for n, p in model.named_parameters()} for name in member.needs}
        problem = replace(problem, shared=shared)
    value = member.loss(problem, member.configure(values))(model, torch.Generator().manual_seed(0))
    draws = Draws(problem, torch.Generator().manual_seed(0), velocity)
    agree(model, value, literal(model, problem, draws))


@both_kinds
@pytest.mark.parametrize("x_t", ["sampled", "noised"])
def test_esd(velocity: bool, x_t: str) -> None:
    """‖ε_θ(x_t, c_f) - [ε₀(x_t, ∅) - η(ε₀(x_t, c_f) - ε₀(x_t, ∅))]‖² + λ · DSM(D_r): the coefficients sum to 1."""

    def literal(model: TextUNet, problem: Problem, draws: Draws) -> torch.Tensor:
        null = torch.full((ERASED,), NULL)
        if x_t == "sampled":
            c_f = draws.prompts(ERASED)
            how: dict[str, Any] = {"null": NULL, "channels": 3, "velocity": velocity}
            x, t = literal_chains(model, c_f, STEPS, GUIDANCE, draws.g, **how)
        else:
            drawn = draws.forgotten(ERASED)
            c_f = problem.forget.conditions[drawn]
            x, t, _ = draws.noising(problem.forget.images[drawn])
        of_null, of_forgotten = epsilon_of(problem.base, x, t, null), epsilon_of(problem.base, x, t, c_f)
        target = (1 + ETA) * of_null - ETA * of_forgotten
        return ((epsilon_of(model, x, t, c_f) - target) ** 2).mean() + LAMBDA * draws.retain_loss(model)

    check("esd", velocity, SAMPLED | {"x_t": x_t, "negative_guidance": ETA}, literal)


@both_kinds
@pytest.mark.parametrize("trained", ["all", "cross_attention"])
def test_sdd(velocity: bool, trained: str) -> None:
    """‖ε_θ(z_t, c_f) - sg ε_θ(z_t, ∅)‖² + λ · DSM(D_r), z_t of a teacher that is three steps' average."""
    problem, member = text_problem(velocity), METHODS["sdd"]
    values = SAMPLED | {"steps": 4, "learning_rate": 1e-2, "ema_decay": 0.9, "trained_parameters": trained}
    run = member.begin(student(), problem, member.configure(values), 0)
    assert isinstance(run, FineTuning)
    run.advance(3)
    model, teacher = run.model, student()
    with torch.no_grad():
        for parameter, average in zip(trained_parameters(teacher, trained).values(), run.average, strict=True):
            parameter.copy_(average)
    draws = Draws(problem, torch.Generator(), velocity)
    draws.g.set_state(run.generator.get_state())
    run.clear_gradient()
    value = run.gradient(run)

    c_f, null = draws.prompts(ERASED), torch.full((ERASED,), NULL)
    how: dict[str, Any] = {"null": NULL, "channels": 3, "velocity": velocity}
    z_t, t = literal_chains(teacher, c_f, STEPS, GUIDANCE, draws.g, **how)
    target = epsilon_of(model, z_t, t, null).detach()
    expected = ((epsilon_of(model, z_t, t, c_f) - target) ** 2).mean() + LAMBDA * draws.retain_loss(model)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    found = torch.cat([p.grad.flatten() for p in run.parameters])
    written_out = torch.cat([g.flatten() for g in torch.autograd.grad(expected, run.parameters)])
    assert (found - written_out).norm() <= 1e-6 * written_out.norm()


@both_kinds
@pytest.mark.parametrize("method", ["label_swap", "salun"])
def test_swaps_towards_the_anchor(velocity: bool, method: str) -> None:
    """λ_f · ‖ε_θ(x_f, t, c_f) - sg ε_θ(x_f, t, a)‖² + λ_r · DSM(D_r), a each prompt's own anchor."""

    def literal(model: TextUNet, problem: Problem, draws: Draws) -> torch.Tensor:
        drawn = draws.forgotten(ERASED)
        c_f = problem.forget.conditions[drawn]
        x_t, t, _ = draws.noising(problem.forget.images[drawn])
        target = epsilon_of(model, x_t, t, ANCHOR_OF[c_f]).detach()
        return 0.75 * ((epsilon_of(model, x_t, t, c_f) - target) ** 2).mean() + 0.25 * draws.retain_loss(model)

    check(method, velocity, MIXED | {"alternative": "anchor", "lambda_ratio": RATIO}, literal)


def test_saluns_mask_is_of_the_forgotten_prompts_gradient_and_holds() -> None:
    """m_i = 1 for the half of the weights with the largest |∇DSM(θ₀; D_f)|; no other moves."""
    problem, member = text_problem(), METHODS["salun"]
    saliency = SHARED["saliency"].make(problem, 0)
    values = MIXED | {"steps": 3, "alternative": "anchor", "learning_rate": 1e-2}
    run = member.begin(student(), replace(problem, shared={"saliency": saliency}), member.configure(values), 0)
    run.advance(3)
    threshold = torch.cat([s.flatten() for s in saliency.values()]).median()
    before, after = student().state_dict(), run.trained().state_dict()
    assert not any(((before[n] != after[n]) & (s < threshold)).any() for n, s in saliency.items())
    of_prompts = [n for n in saliency if ".attn2." in n]
    assert any((before[n] != after[n]).any() for n in of_prompts)


@both_kinds
@pytest.mark.parametrize(("variant", "target_from"), [("noise", "start"), ("model", "start"), ("model", "student")])
def test_concept_ablation(velocity: bool, variant: str, target_from: str) -> None:
    """On θ₀'s images of the anchors: λ_f · ‖ε_θ(x_t, c_f) - (ε | ε₀(x_t, a) | sg ε_θ(x_t, a))‖² + λ_r · DSM(D_r)."""

    def literal(model: TextUNet, problem: Problem, draws: Draws) -> torch.Tensor:
        c_f = draws.prompts(ERASED)
        which = torch.randint(5, (ERASED,), generator=draws.g)
        x = torch.stack([problem.generated(int(ANCHOR_OF[c]), 5)[i] for c, i in zip(c_f, which, strict=True)])
        x_t, t, aim = draws.noising(x)
        if variant == "model":
            teacher = problem.base if target_from == "start" else model
            aim = epsilon_of(teacher, x_t, t, ANCHOR_OF[c_f]).detach()
        return 0.75 * ((epsilon_of(model, x_t, t, c_f) - aim) ** 2).mean() + 0.25 * draws.retain_loss(model)

    values = {"alternative": "anchor", "variant": variant, "target_from": target_from, "anchor_images": 5}
    check("concept_ablation", velocity, MIXED | values | {"lambda_ratio": RATIO}, literal)


@both_kinds
@pytest.mark.parametrize("shown", [True, False], ids=["images", "no images"])
def test_dimum(velocity: bool, shown: bool) -> None:
    """λ_m · ‖ε - ε_θ(x_t, t, c_f)‖² over images of c_f's own anchor + λ_r · DSM(D_r), in one pass.

    Of an anchor without training images, over what θ₀ makes for it.
    """
    problem, model, member = text_problem(velocity), student(), METHODS["dimum"]
    if not shown:
        others = ~torch.isin(problem.retain.conditions, torch.tensor(ANCHORS))
        problem = replace(problem, retain=problem.retain.where(others))
    values = MIXED | {"replacement": "anchor", "replacement_images": 5, "lambda_ratio": RATIO}
    value = member.loss(problem, member.configure(values))(model, torch.Generator().manual_seed(0))

    g, pools = torch.Generator().manual_seed(0), {}
    for anchor in sorted(set(ANCHORS)):
        images = problem.retain.images[problem.retain.conditions == anchor]
        order = torch.randperm(3, generator=g).repeat(2)[:5] if shown else None
        pools[anchor] = images[order] if shown else problem.generated(anchor, 5)
    draws = Draws(problem, torch.Generator().manual_seed(0), velocity)
    which = torch.randint(5, (ERASED,), generator=draws.g)
    c_f = draws.prompts(ERASED)
    x_a = torch.stack([pools[int(ANCHOR_OF[c])][i] for c, i in zip(c_f, which, strict=True)])
    x_r, c_r = draws.retained()
    x_t, t, aim = draws.noising(torch.cat([x_a, x_r]))
    errors = ((aim - epsilon_of(model, x_t, t, torch.cat([c_f, c_r]))) ** 2).mean(dim=(1, 2, 3))
    agree(model, value, 0.75 * errors[:ERASED].mean() + 0.25 * errors[ERASED:].mean())


META = {"meta_weight": 0.7, "zeta": 0.4, "meta_inner_learning_rate": 0.05, "meta_cap": 100.0, "meta_inner_batch": 5}


def meta_run(problem: Problem, method: str, **values: Any) -> FineTuning:
    member = METHODS[method]
    run = member.begin(student(), problem, member.configure({"batch": BATCH, "steps": 4} | META | values), 1)
    assert isinstance(run, FineTuning)
    return run


def draw(images: Images, g: torch.Generator, n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.randint(len(images), (n,), generator=g)
    return images.images[rows], images.conditions[rows]


@both_kinds
@pytest.mark.parametrize("one_pass", [False, True], ids=["steps", "pass"])
@pytest.mark.parametrize("trains", ["", "all", "cross_attention_kv"])
def test_metas_gradient(velocity: bool, one_pass: bool, trains: str) -> None:
    """γ₁∇L_unlearn + γ₁₁∇DSM(D_irt) + γ₁₂∇DSM(D_tgt) - γ₂₁∇DSM(θ_FT; D_hrm) - γ₂₂∇DSM(θ_FT; D_tgt) - γ₂₃∇DSM(θ_FT; D_irt).

    γ₁ = 1, γ₁₁ = γ κ, γ₁₂ = γ₂₂ = γ ζ, γ₂₁ = γ, γ₂₃ = γ κ′. θ trains the cross-attention; θ_FT what it likes.
    """
    gamma, zeta, kappa, kappa_after, inner_lr = 0.7, 0.4, 0.3, 0.2, 0.05
    problem = text_problem(velocity)
    values = {"trained_parameters": "cross_attention", "alternative": "anchor", "grad_clip": 0.1}
    alone = METHODS["label_swap"].begin(
        student(), problem, METHODS["label_swap"].configure({"batch": BATCH, "steps": 4} | values), 1
    )
    assert isinstance(alone, FineTuning)
    alone.model.train()
    alone.clear_gradient()
    alone.gradient(alone)
    unlearning = [p.grad.clone() for p in alone.parameters]

    draws = Draws(problem, alone.generator, velocity)  # where the method left it, the meta objective goes on
    x_tgt, c_tgt = draw(related_benign(problem), draws.g)
    at_tgt = draws.noising(x_tgt)
    x_irt, c_irt = draw(unrelated(problem), draws.g)
    at_irt = draws.noising(x_irt)

    def dsm(model: TextUNet, noised: tuple[torch.Tensor, ...], rows: torch.Tensor) -> torch.Tensor:
        x_t, t, aim = noised
        return ((aim - epsilon_of(model, x_t, t, rows)) ** 2).mean()

    theta, theta_ft = deepcopy(alone.model), deepcopy(alone.model)
    attacked = list(trained_parameters(theta_ft, trains or "cross_attention").values())
    for parameter in attacked:
        parameter.requires_grad_(True)
    order = torch.randperm(len(problem.forget), generator=draws.g) if one_pass else torch.zeros(0)
    for chosen in order.split(5) if one_pass else range(2):
        x, c = (
            (problem.forget.images[chosen], problem.forget.conditions[chosen])
            if one_pass
            else draw(problem.forget, draws.g)
        )
        gradient = torch.autograd.grad(draws.dsm(theta_ft, x, c), attacked)
        norm = torch.cat([g.flatten() for g in gradient]).norm()
        with torch.no_grad():
            for weight, g in zip(attacked, gradient, strict=True):
                weight -= inner_lr * g * min(1.0, 0.1 / norm)
    harm = draws.dsm(theta_ft, *draw(problem.forget, draws.g))
    moving = [list(trained_parameters(m, "cross_attention").values()) for m in (theta, theta_ft)]
    for parameter in moving[1]:
        parameter.requires_grad_(True)
    before = zeta * dsm(theta, at_tgt, c_tgt) + kappa * dsm(theta, at_irt, c_irt)
    after = -harm - zeta * dsm(theta_ft, at_tgt, c_tgt) - kappa_after * dsm(theta_ft, at_irt, c_irt)
    of_theta, of_theta_ft = torch.autograd.grad(before, moving[0]), torch.autograd.grad(after, moving[1])
    expected = [u + gamma * (a + b) for u, a, b in zip(unlearning, of_theta, of_theta_ft, strict=True)]

    of_meta = {"meta_unrelated": kappa, "meta_unrelated_after": kappa_after, "meta_inner_trains": trains}
    steps: dict[str, Any] = {"meta_inner_pass": True} if one_pass else {"meta_inner_steps": 2}
    run = meta_run(problem, "meta(label_swap)", **values, **of_meta, **steps)
    start = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.model.train()
    run.clear_gradient()
    run.gradient(run)
    assert all(torch.equal(start[n], v) for n, v in run.model.state_dict().items()), "θ is as it was, to the bit"
    moves = {n for n, p in run.model.named_parameters() if p.requires_grad}
    assert moves == set(trained_parameters(run.model, "cross_attention")), "and what trains is as it was"
    scale = max(e.abs().max().item() for e in expected)
    for parameter, e in zip(run.parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, e, rtol=1e-6, atol=1e-9 * scale)
    assert torch.equal(run.generator.get_state(), draws.g.get_state())


@pytest.mark.parametrize("method", ["uce", "rece"])
def test_meta_begins_where_a_closed_form_ends_and_its_own_gradient_is_all(method: str) -> None:
    """γ₁ L_unlearn = 0: the gradient scales with γ alone, and without γ the edited model stays as it is."""
    problem, values = text_problem(), {"ridge": 0.3, "positions": "all"}
    edit = METHODS[method].begin(student(), problem, METHODS[method].configure(values), 0)
    edit.advance(edit.steps)
    edited = {name: value.clone() for name, value in edit.trained().state_dict().items()}
    assert edit.facts["edits"]

    def run(gamma: float) -> FineTuning:
        return meta_run(problem, f"meta({method})", **values, meta_weight=gamma, learning_rate=1e-2)

    begun = run(1.0)
    assert all(torch.equal(edited[n], v) for n, v in begun.model.state_dict().items())
    assert begun.facts == edit.facts and begun.steps == 4
    gradients = []
    for gamma in (1.0, 2.0):
        one = run(gamma)
        one.clear_gradient()
        one.gradient(one)
        gradients.append(torch.cat([p.grad.flatten() for p in one.parameters]))
    torch.testing.assert_close(2 * gradients[0], gradients[1], rtol=1e-9, atol=0.0)
    assert gradients[0].norm() > 0

    still, moved, half, rest = run(0.0), run(1.0), run(1.0), run(1.0)
    still.advance(4)
    moved.advance(4)
    assert all(torch.equal(edited[n], v) for n, v in still.trained().state_dict().items())
    assert not torch.equal(edited["conv_in.weight"], moved.model.state_dict()["conv_in.weight"])
    half.advance(2)
    rest.restore({name: value.clone() for name, value in half.state().items()})
    rest.advance(4)
    assert all(torch.equal(v, moved.model.state_dict()[n]) for n, v in rest.model.state_dict().items())


def test_what_is_related_and_unrelated_is_as_prompts_roles_say_and_else_as_features_do() -> None:
    problem = text_problem()
    asked = torch.tensor([["sneaker", "bag", "coat"].index(thing) for _, thing, _ in CELLS])
    related = related_benign(problem).conditions
    assert len(asked[related].unique()) == 1 and len(related.unique()) == 4, "all prompts of the nearest label"
    roles = ["forget" if row in FORGOTTEN else "retain" for row in range(NULL)]
    roles[RETAINED[0]], roles[RETAINED[5]] = "related", "unrelated"
    given = replace(problem, forgetting=replace(problem.forgetting, roles=tuple(roles)))
    assert related_benign(given).conditions.unique().tolist() == [RETAINED[0]]
    assert unrelated(given).conditions.unique().tolist() == [RETAINED[5]]
    bare = replace(given, retain=given.retain.where(given.retain.conditions != RETAINED[0]))
    with pytest.raises(ValueError, match="the prompts of role related have no training images"):
        related_benign(bare)


@pytest.mark.parametrize("method", ["label_swap", "salun", "scissorhands", "erase_diff", "concept_ablation", "dimum"])
def test_what_has_no_anchors_is_refused_in_one_line(method: str) -> None:
    member, problem = METHODS[method], text_problem()
    which = "replacement" if method == "dimum" else "alternative"
    settings = member.configure({which: "anchor"})
    member.check_forgets(problem.forgetting, settings)
    classes = replace(problem.forgetting, text="3", anchors=(), facet="", shown=())
    with pytest.raises(
        ValueError, match=rf"^{which} 'anchor': 3 has no anchors, as prompts have; choose one of class_fixed, "
    ):
        member.check_forgets(classes, settings)


NUDITY = Dataset(
    "nudity",
    4,
    (3, 8, 8),
    lambda: None,
    prompts=("a nude", "a harbour", "a forest", "a nude in oil"),
    facets=(Facet("concept", ("nudity",), (0, NOTHING, NOTHING, 0), (NOTHING,)),),
)


@pytest.mark.parametrize("which", ["class_fixed", "class_nearest", "class_farthest"])
def test_another_label_is_refused_where_no_prompt_that_stays_asks_for_one(which: str) -> None:
    forgetting = parse_forget("concept:nudity", NUDITY)
    for method in ("label_swap", "salun", "scissorhands", "erase_diff", "concept_ablation"):
        member = METHODS[method]
        with pytest.raises(ValueError, match=f"^alternative '{which}': no prompt that stays asks for another concept"):
            member.check_forgets(forgetting, member.configure({"alternative": which}))
    swap = METHODS["label_swap"]
    swap.check_forgets(forgetting, swap.configure({"alternative": "anchor"}))


@pytest.mark.parametrize("which", OTHER_LABEL)
def test_images_of_another_label_are_refused_where_no_prompt_that_stays_asks_for_one(which: str) -> None:
    forgetting, dimum = parse_forget("concept:nudity", NUDITY), METHODS["dimum"]
    with pytest.raises(
        ValueError, match=f"^replacement '{which}': no prompt that stays .* one of nearest_neighbours, "
    ):
        dimum.check_forgets(forgetting, dimum.configure({"replacement": which}))
    for other in set(CHOICES) - set(OTHER_LABEL):
        dimum.check_forgets(forgetting, dimum.configure({"replacement": other}))


def test_metas_d_ret_is_refused_where_no_prompt_that_stays_asks_for_another_label_or_is_related() -> None:
    swap = METHODS["meta(label_swap)"]
    settings, forgetting = swap.configure({"alternative": "anchor"}), parse_forget("concept:nudity", NUDITY)
    with pytest.raises(
        ValueError, match=r"^meta: no prompt that stays asks for another concept than .* the role related$"
    ):
        swap.check_forgets(forgetting, settings)
    related = replace(NUDITY, roles=("forget", "related", "unrelated", "forget"))
    swap.check_forgets(parse_forget("concept:nudity", related), settings)


def partly_labelled() -> tuple[Problem, list[int], list[int]]:
    """A problem of sneakers, the prompts of bags, and those of coats, which name no concept here."""
    problem = text_problem()
    labels = ("sneaker", "bag", "coat")
    shown = [labels.index(thing) for _, thing, _ in CELLS]
    unlabelled = [row for row, label in enumerate(shown) if label == 2]
    data = Dataset(
        "wardrobe",
        NULL,
        (3, 8, 8),
        lambda: None,
        prompts=tuple(" ".join(words) for words in TEXTS),
        facets=(
            Facet("concept", labels, tuple(NOTHING if label == 2 else label for label in shown), (1, NOTHING, NOTHING)),
        ),
    )
    forgetting = parse_forget("concept:sneaker", data)
    problem = replace(problem, forgetting=forgetting, features=lambda images: images.flatten(1)[:, :1].float().numpy())
    return problem, [row for row, label in enumerate(shown) if label == 1], unlabelled


@pytest.mark.parametrize("which", ["class_nearest", "class_farthest"])
def test_the_nearest_label_is_of_a_prompt_that_asks_for_one(which: str) -> None:
    """Of the nearest images and the farthest one kind is of prompts without a label, which is nobody's version."""
    problem, bags, unlabelled = partly_labelled()
    choose = alternative_conditions(problem, which)
    chosen = choose(torch.tensor(problem.forgetting.conditions), torch.Generator()).tolist()
    assert set(chosen) <= set(bags) and not set(chosen) & set(unlabelled)


@pytest.mark.parametrize("which", ["class_nearest", "class_farthest", "one_image", "generated", "class_mean"])
def test_what_is_near_asks_for_a_label(which: str) -> None:
    """Captions of anything else are one kind together: nearest or farthest, they are nothing to memorize."""
    problem, bags, captions = partly_labelled()
    images_of_bags = {
        x.numpy().tobytes()
        for x in problem.retain.where(torch.isin(problem.retain.conditions, torch.tensor(bags))).images
    }
    for order in ([*captions, *bags], [*bags, *captions]):
        ordered = replace(problem, by_distance=lambda order=order: order)
        drawn = REPLACEMENTS[which](ordered, 3, torch.Generator().manual_seed(0))
        if which == "generated":
            assert torch.equal(drawn, problem.generated(bags[0], 3))
        elif which == "class_mean":
            mean = problem.retain.where(torch.isin(problem.retain.conditions, torch.tensor(bags))).images.mean(
                0, keepdim=True
            )
            torch.testing.assert_close(drawn, mean)
        else:
            assert {x.numpy().tobytes() for x in drawn} <= images_of_bags
        assert set(related_benign(ordered).conditions.tolist()) == set(bags)
    alone = replace(ordered, by_distance=lambda: captions)
    with pytest.raises(
        ValueError, match=f"^replacement '{which}': no image that stays is of a prompt that asks for another"
    ):
        REPLACEMENTS[which](alone, 3, torch.Generator())
    with pytest.raises(ValueError, match=r"^meta: D_ret: no image that stays is of a prompt that asks for another"):
        related_benign(alone)


def test_class_fixed_is_of_the_next_label_that_has_images() -> None:
    labels = ("sneaker", "bag", "coat")
    shown = [labels.index(thing) for _, thing, _ in CELLS]
    prompts = tuple(" ".join(words) for words in TEXTS)
    facets = (Facet("concept", labels, tuple(shown), (1, NOTHING, NOTHING)),)
    data = Dataset("wardrobe", NULL, (3, 8, 8), lambda: None, prompts=prompts, facets=facets)
    problem = replace(text_problem(), forgetting=parse_forget("concept:sneaker", data))
    of = torch.tensor(shown)[problem.retain.conditions]
    for kept, chosen in ((of > 0, 1), (of == 2, 2)):
        drawn = REPLACEMENTS["class_fixed"](replace(problem, retain=problem.retain.where(kept)), 3, torch.Generator())
        theirs = {x.numpy().tobytes() for x in problem.retain.where(of == chosen).images}
        assert len(drawn) == 3 and {x.numpy().tobytes() for x in drawn} <= theirs


@pytest.mark.parametrize("method", ["scissorhands", "erase_diff"])
def test_methods_of_a_gradient_are_taught_the_anchor(method: str) -> None:
    """Their alternative is a table: with another row's anchor the first step is another."""
    problem, member = text_problem(), METHODS[method]
    shared = {name: {n: torch.ones_like(p) for n, p in student().named_parameters()} for name in member.needs}
    other = replace(problem.forgetting, anchors=ANCHORS[::-1])
    gradients = []
    for forgetting in (problem.forgetting, problem.forgetting, other):
        settings = member.configure(MIXED.copy() | {"alternative": "anchor", "steps": 2})
        run = member.begin(student(), replace(problem, shared=shared, forgetting=forgetting), settings, 0)
        assert isinstance(run, FineTuning)
        run.clear_gradient()
        run.gradient(run)
        gradients.append(torch.cat([p.grad.flatten() for p in run.parameters if p.grad is not None]))
    assert torch.equal(gradients[0], gradients[1]) and not torch.allclose(gradients[0], gradients[2])


@pytest.mark.parametrize("imaged", [(), FORGOTTEN[:1]], ids=["no prompt has images", "one has"])
@pytest.mark.parametrize("method", ["esd", "sdd", "concept_ablation", "dimum", "selective_amnesia"])
def test_what_asks_for_no_image_of_the_forgotten_prompts_needs_none(
    method: str, imaged: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And every one of the prompts is drawn, alike often, whichever of them have images: they are scored alike often too."""
    problem, member = text_problem(), METHODS[method]
    shown = torch.isin(problem.forget.conditions, torch.tensor(imaged))
    fisher = {name: torch.ones_like(p) for name, p in student().named_parameters()}
    bare = replace(problem, forget=problem.forget.where(shown), shared={"fisher": fisher})
    anchors = {"concept_ablation": {"alternative": "anchor"}, "dimum": {"replacement": "anchor"}}
    told: list[int] = []
    plain = Problem.draw_forgotten

    def drawn(self: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
        told.extend((rows := plain(self, n, generator)).tolist())
        return rows

    monkeypatch.setattr(Problem, "draw_forgotten", drawn)
    run = member.begin(student(), bare, member.configure(MIXED | anchors.get(method, {})), 0)
    assert run.advance(1) and len(told) == ERASED
    often = torch.bincount(plain(bare, 4000, torch.Generator().manual_seed(0)), minlength=NULL)[list(FORGOTTEN)]
    assert often.sum() == 4000 and (often - 1000).abs().max() < 100


def test_one_step_generators_are_refused_of_prompts_in_one_line() -> None:
    with pytest.raises(
        ValueError, match=r"^method 'sfd' makes a one-step generator, which no prompt is sampled by; take an"
    ):
        METHODS["sfd"].check_forgets(text_problem().forgetting)
