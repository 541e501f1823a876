"""A first look at an unlearned model: a few of the samples that its score will be over, before the others are drawn.

Most settings of a search have plainly not unlearned. For these, `FIRST` samples of the forgotten condition say so; near the
line they say nothing and all samples are drawn, these among them. FID is no matter for a glance: its bias depends on N.
"""

from __future__ import annotations

from dataclasses import asdict

from trainables.relearning.experiment import Samples, TrialSpec
from trainables.relearning.products.judge import judge_for, judge_identity
from trainables.relearning.stages.score import FIRST, ScoreStage, evidence_of, score_inputs, scoring_code
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact, artifact_key, code_version

UNLEARNED = "unlearning_accuracy"


def worth_a_glance(spec: TrialSpec) -> bool:
    """Whether a gate looks at unlearning accuracy and the whole score would take many more samples than a glance."""
    gated = any(limit.metric == UNLEARNED and not limit.at_most for limit in spec.gate)
    return gated and not spec.experiment.forgetting.instances and spec.samples.forgotten >= 2 * FIRST


class GlanceStage:
    """Draws the first samples of `score` and judges them; `score` goes on from there."""

    name = kind = "glance"

    def __init__(self, score: ScoreStage) -> None:
        self.score, experiment = score, score.bench.experiment
        config = {"samples": asdict(score.samples), "first": FIRST, "seed": score.seed, "sampler": experiment.sampler}
        config |= {"forget": experiment.forget, "judge": judge_identity(experiment), "device": experiment.device_kind}
        code = f"{code_version(__name__)}/{scoring_code(experiment)}"
        self.key = artifact_key("glance", config, score_inputs(experiment) | {"model": score.model}, code)

    @property
    def samples(self) -> Samples:
        """What the glance is over."""
        return Samples(FIRST, 0)

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        with watch("sampling"):
            return self.score.sampling.advance(deadline, until=FIRST)

    def save_partial(self) -> None:
        self.score.save_partial()

    def drop(self) -> None:
        """Nobody goes on from these samples."""
        self.score.bench.store.drop_partial(self.score.key)

    def commit(self, watch: Stopwatch) -> Artifact:
        """Keep the share, and the images for the score, should another process go on."""
        bench = self.score.bench
        with watch("scoring"):
            evidence = evidence_of(bench, self.score.sampling.images()[:FIRST])
            shown = float(judge_for(bench.experiment)(evidence).float().mean())
        self.score.save_partial()
        figures = {"relearning_accuracy": shown, UNLEARNED: 1 - shown}
        return bench.store.put(self.key, "glance", {"figures": figures, "seed": self.score.seed} | watch.times(), {})
