"""What θ₀ generates for a method: kept, the same for all who ask, and gone on with by whoever asks again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from trainables import diffusion
from trainables.denoisers.weights import whole_weights
from trainables.relearning.experiment import Experiment, TrialSpec, stream
from trainables.relearning.products import Workbench
from trainables.relearning.products.generated import Unfinished, generate, generated_by_base, generated_key
from trainables.relearning.products.models import teacher_of
from trainables.relearning.stages.unlearn import UnlearnStage
from trainables.running.stopwatch import Stopwatch
from trainables.unlearning import Problem

AnotherStore = Callable[[str], Experiment]
N, AT_ONCE = 7, 3


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each pass of a sampler has had; three at most."""
    passes: list[int] = []

    def sample(*arguments: Any, **named: Any) -> Iterator[torch.Tensor]:
        for batch in diffusion.sample(*arguments, **named):
            passes.append(len(batch))
            yield batch

    monkeypatch.setattr("trainables.diffusion.batch_for", lambda model, shape: AT_ONCE)
    monkeypatch.setattr("trainables.relearning.products.generated.sample", sample)
    return passes


def test_it_is_drawn_once_and_is_what_the_base_model_makes(another_store: AnotherStore, drawn: list[int]) -> None:
    bench = Workbench(another_store("copy"))
    images = generated_by_base(bench, 4, N)
    assert drawn == [3, 3, 1]
    seed = stream(bench.experiment.base_seed, "generated", "4")
    assert torch.equal(images, generate(bench.experiment, teacher_of(bench), torch.full((N,), 4), seed))
    drawn.clear()
    assert torch.equal(generated_by_base(Workbench(bench.experiment), 4, N), images) and not drawn
    assert len({generated_key(bench.experiment, *asked) for asked in ((4, N), (5, N), (4, N + 1))}) == 3


def test_a_killed_process_is_gone_on_from(
    another_store: AnotherStore, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = another_store("killed")
    whole = generated_by_base(Workbench(another_store("whole")), 4, N)
    drawn.clear()
    with pytest.raises(Unfinished, match="3 of 7 images of condition 4"):
        generated_by_base(Workbench(experiment), 4, N, deadline=0.0)
    saved = []
    monkeypatch.setattr("trainables.running.pace.SHARE", 0.0)  # a checkpoint after every batch

    def killed(model: Any, *rest: Any, **named: Any) -> Iterator[torch.Tensor]:
        for batch in diffusion.sample(model, *rest, **named):
            if saved:
                raise KeyboardInterrupt
            saved.append(batch)
            yield batch

    with monkeypatch.context() as dying:
        dying.setattr("trainables.relearning.products.generated.sample", killed)
        with pytest.raises(KeyboardInterrupt):
            generated_by_base(Workbench(experiment), 4, N)
    assert torch.equal(generated_by_base(Workbench(experiment), 4, N), whole)
    assert drawn == [3, 1], "what the killed process drew is not drawn again"
    store = Workbench(experiment).store
    assert store.load_partial(generated_key(experiment, 4, N)) is None


def test_a_step_ends_while_images_are_drawn_and_the_next_process_goes_on(
    problem: Problem, another_store: AnotherStore, drawn: list[int], make_spec: Callable[..., TrialSpec]
) -> None:
    """Every step draws a batch or goes on to one, in a process of its own, and saves no checkpoint of a run that has not begun."""
    settings = {"steps": 2, "batch": 8, "replay": "generated", "replay_images": 4}

    def stage(name: str) -> UnlearnStage:
        return UnlearnStage(
            Workbench(experiments[name]), make_spec(experiments[name], method="selective_amnesia", settings=settings)
        )

    experiments = {name: another_store(name) for name in ("stepwise", "at once")}
    passes = []
    for _ in range(100):
        drawn.clear()
        one = stage("stepwise")
        if one.advance(Stopwatch(), 0.0):
            break
        one.save_partial()
        passes.append(list(drawn))
    assert passes == [[3], *[[1, 3]] * 8, [1]] and not drawn, "nine conditions, then a step of training"
    other = stage("at once")
    assert other.advance(Stopwatch(), float("inf"))
    weights = [whole_weights(s.commit(Stopwatch())) for s in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
