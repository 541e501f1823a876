"""One trial: unlearn → score → gate → attack rungs, the stages of `trainables.running.pipeline` in this order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from trainables.attacks import ATTACKS
from trainables.audits import AUDITS
from trainables.metrics import METRICS, Figures, aurc, declared_figures, wilson
from trainables.needs import SHARED
from trainables.relearning.experiment import TrialSpec
from trainables.relearning.gate import GLANCE, excluded
from trainables.relearning.origins import ORIGINS
from trainables.relearning.products import Workbench, model_key, reference_key
from trainables.relearning.products.features import feature_module, features_of
from trainables.relearning.products.judge import judge_for, judge_identity
from trainables.relearning.shared_products import make_again
from trainables.relearning.stages.attack import AttackStage
from trainables.relearning.stages.glance import UNLEARNED, GlanceStage, worth_a_glance
from trainables.relearning.stages.score import FIRST, BaseScoreStage, ScoreStage, score_key
from trainables.relearning.stages.trajectory import Trajectory, check_attack
from trainables.relearning.stages.unlearn import UnlearnStage, text_keys, unlearned_key
from trainables.running import pipeline
from trainables.running.report import Report
from trainables.running.stages import Stage
from trainables.store import Artifact, code_version
from trainables.unlearning import METHODS

_SCORED_AFTER = ("relearning_accuracy", "retain_accuracy")  # beside the Fréchet distance


class Pipeline(pipeline.Pipeline):
    """The stages of one replicate under relearning attacks."""

    spec: TrialSpec
    bench: Workbench
    activities = ("training", "sampling", "scoring")

    def __init__(self, spec: TrialSpec, bench: Workbench | None = None) -> None:
        torch.set_num_threads(1)  # two threads on shared cores are slower than one
        self.unlearned = unlearned_key(spec)
        for attack in spec.attacks:  # an attack that cannot run is refused before anything is trained
            check_attack(attack)
        super().__init__(spec, bench if bench and bench.experiment == spec.experiment else Workbench(spec.experiment))

    def sequence(self) -> Iterator[Stage]:
        """The order of the stages; no figure is known yet."""
        self.figures: dict[str, Any] = {}
        self._accuracy_at: dict[str, dict[int, float]] = {}
        self._at_end: dict[str, Figures] = {}  # of every attack, the figures after its last step
        return self._sequence()

    def ended(self, stage: Stage, artifact: Artifact, report: Report) -> None:
        """Curves of a score or a rung; the cause where a gate stops the trial after a score, or after a glance at it."""
        if isinstance(stage, BaseScoreStage):
            return
        if isinstance(stage, GlanceStage):
            self._take_glance(stage, artifact, report)
        elif isinstance(stage, ScoreStage):
            report.curves = self._take_score(stage, artifact)
            spec, retained = self.spec, len(self.spec.experiment.forgetting.labelled)
            report.cause = excluded(self.figures, spec.gate, spec.samples, retained, spec.fid_delta_sd)
        elif isinstance(stage, AttackStage):
            report.curves = self._take_rung(stage, artifact)
        if self.figures:  # from the score on: a trial that dies under attack keeps what it was scored
            report.figures = self.figures | self._dependencies() | report.figures

    def completed(self, report: Report) -> None:
        """How the trial withstood its attacks."""
        self.figures |= {"robustness": self._withstood(True), "malicious_robustness": self._withstood(False)}
        self.figures |= self._attacked()
        report.figures = self.figures | self._dependencies()

    def make_again(self, key: str) -> None:
        """A product that trials share; what was made with θᵤ is made again with it, so that θᵤ is set aside."""
        unlearned = self.bench.store.find(self.unlearned)
        if unlearned is not None and key in text_keys(self.unlearned):
            what = f"artifact {unlearned.key[:12]} ({unlearned.kind}) in {self.bench.store.name}"
            self.bench.store.corrupt(unlearned, f"{what}: its own prompts or text encoders are damaged or missing")
        make_again(self.spec, key)

    def _sequence(self) -> Iterator[Stage]:
        spec = self.spec
        if spec.method != "none":
            yield UnlearnStage(self.bench, spec)
        base = model_key(spec.experiment, "base")
        # On a seed of the confirm phase whoever comes first makes it, mostly θ₀'s own replicate, whose score it is.
        if self.unlearned != base and self.bench.store.find(self._base_score) is None:
            yield BaseScoreStage(self.bench, base, spec.samples, spec.seed)
        score = ScoreStage(self.bench, self.unlearned, spec.samples, spec.seed)
        if worth_a_glance(spec):
            yield GlanceStage(score)
        yield score
        del score  # with it goes the model
        for attack in spec.attacks:
            trajectory = Trajectory(self.bench, spec, attack, self.unlearned)
            for step in spec.rungs[1:]:
                yield AttackStage(trajectory, step)

    def _take_glance(self, stage: GlanceStage, artifact: Artifact, report: Report) -> None:
        self.figures = {UNLEARNED: artifact.facts["figures"][UNLEARNED]}
        report.cause = excluded(self.figures, self.spec.gate, stage.samples, 0, math.inf, confidence=GLANCE)
        if report.cause is None:
            self.figures = {}  # the score's own are over these samples and all others
            return
        stage.drop()
        report.figures = {"samples_forgotten": FIRST, "samples_per_retained": 0, "score": None}

    @property
    def _base_score(self) -> str:
        """Key of θ₀'s score on the same noise and counts, which `fid_delta` is taken from."""
        spec = self.spec
        return score_key(spec.experiment, model_key(spec.experiment, "base"), spec.samples, spec.seed)

    def _withstood(self, counts: bool) -> float | None:
        """1 - the worst AURC of the attacks that count, or of those whose data hold what was forgotten; None without any."""
        worst = [aurc(self._accuracy_at[a.name]) for a in self.spec.attacks if a.counts == counts]
        return 1 - max(worst) if worst else None

    def _attacked(self) -> Figures:
        """What is left after the attack that counts and brings most back: a model that it ruined has not resisted it."""
        ends = [self._at_end[a.name] for a in self.spec.attacks if a.counts]
        if not ends:
            return {}
        worst = max(ends, key=lambda figures: figures["relearning_accuracy"])
        figures = {f"attacked_{name}": worst[name] for name in _SCORED_AFTER if name in worst}
        if "fid" in worst and self.spec.attacked_per_retained == self.spec.samples.per_retained:
            figures["attacked_fid_delta"] = worst["fid"] - self.figures["fid_base"]  # the same noise, equal N
        return figures

    def _take_score(self, stage: ScoreStage, artifact: Artifact) -> list[dict[str, Any]]:
        """The figures before the attack, `fid_base` and `fid_delta` with them, and rung 0 of every curve."""
        self.figures = dict(artifact.facts["figures"])
        self.figures["fid_base"] = self.bench.store.get(self._base_score).facts["figures"]["fid"]
        self.figures["fid_delta"] = self.figures["fid"] - self.figures["fid_base"]
        for attack in self.spec.attacks:
            self._accuracy_at[attack.name] = {0: self.figures["relearning_accuracy"]}
        return self._curve_rows("none", True, None, 0, artifact)

    def _take_rung(self, stage: AttackStage, artifact: Artifact) -> list[dict[str, Any]]:
        attack = stage.trajectory.attack
        self._accuracy_at[attack.name][stage.step] = artifact.facts["figures"]["relearning_accuracy"]
        if stage.last:
            self._at_end[attack.name] = artifact.facts["figures"]
        what = attack.name, attack.counts, stage.trajectory.settings.auxiliary
        rows = self._curve_rows(*what, 0, artifact, artifact.facts["start"]) if stage.first else []
        return rows + self._curve_rows(*what, stage.step, artifact)

    def _curve_rows(
        self,
        attack: str,
        counts: bool,
        auxiliary: str | None,
        step: int,
        artifact: Artifact,
        facts: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """A row for each figure of the artifact, or of these of its facts."""
        facts = facts or artifact.facts
        figures: Figures = facts["figures"]
        proportions = {figure.name for figure in declared_figures(METRICS) if figure.samples}
        rows = []
        for metric, value in sorted(figures.items()):
            n = facts["counts"][metric]
            lower, upper = wilson(value, n) if metric in proportions else (None, None)
            row = {"attack": attack, "counts": counts, "auxiliary": auxiliary, "attack_step": step, "metric": metric}
            rows.append(row | {"value": value, "lower": lower, "upper": upper, "samples": n, "artifact": artifact.key})
        return rows

    def _dependencies(self) -> dict[str, Any]:
        """What every figure of this replicate depends on: columns of the replicates table."""
        spec, experiment = self.spec, self.spec.experiment
        one_step = self.bench.store.get(self.unlearned).facts.get("one_step", 0)
        return {
            "seed": spec.seed,
            "samples_forgotten": spec.samples.forgotten,
            "samples_per_retained": spec.samples.per_retained,
            "sampler": f"one-step@{one_step}" if one_step else experiment.sampler,
            "judge": judge_identity(experiment),
            "feature_network": experiment.features,
            "feature_network_hash": features_of(self.bench).weights_hash,
            "reference": reference_key(experiment),
            "base_model": model_key(experiment, spec.start),
            "unlearned_model": self.unlearned,
            "score": score_key(experiment, self.unlearned, spec.samples, spec.seed),
            "base_score": self._base_score,
            "code_version": self._code_version(),
            "device": experiment.device_kind,
        }

    def _code_version(self) -> str:
        """Hash of all code figures come from: this module, the method, attacks, judge, metrics, features and data that it uses."""
        spec, experiment = self.spec, self.spec.experiment
        modules = {__name__, feature_module(experiment), ORIGINS[experiment.base.origin].module}
        modules.add(judge_for(experiment).module)
        modules |= {*METRICS.modules(), *AUDITS.modules()}
        modules |= {experiment.dataset.module} | {ATTACKS[a.method].module for a in spec.attacks}
        if spec.method != "none":
            method = METHODS[spec.method]
            modules |= set(method.modules) | {SHARED[name].module for name in method.needs}
        return code_version(*modules)


def pipeline_of(spec: Mapping[str, Any], bench: Workbench | None = None) -> Pipeline:
    """The pipeline of a spec's JSON; shared products stay in memory where `bench` is of the same experiment."""
    return Pipeline(TrialSpec.from_json(dict(spec)), bench)
