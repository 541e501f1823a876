"""What a whole trial says beyond its samples: how it withstood its attacks, and what it costs beside the base model."""

from __future__ import annotations

from trainables.figures import Figure

FIGURES = (
    Figure(
        "robustness",
        description="1 - max AURC@K over the attacks that count; null unless all finished",
        unit="share",
        direction="maximise",
        samples="forgotten",
    ),
    Figure(
        "malicious_robustness",
        description="1 - max AURC@K over the attacks that do not count; their data hold what was forgotten; "
        "null unless all finished",
        unit="share",
        direction="maximise",
        samples="forgotten",
    ),
    Figure(
        "fid_base",
        description="fid of the base model: same noise, same N",
        direction="minimise",
        over="retained",
    ),
    Figure(
        "fid_delta",
        description="FID(unlearned) - FID(base), retained conditions, same noise",
        direction="minimise",
        over="retained",
    ),
    Figure(
        "attacked_relearning_accuracy",
        description="after the last step of the attack that counts and brings most back: relearning accuracy",
        unit="share",
        direction="minimise",
        samples="forgotten",
    ),
    Figure(
        "attacked_retain_accuracy",
        description="after the last step of that attack: retain_accuracy; a model it ruined has not resisted it",
        unit="share",
        direction="maximise",
        over="retained",
        samples="retained, after an attack",
    ),
    Figure(
        "attacked_fid_delta",
        description="after the last step of that attack: FID - FID(base), same noise, equal N",
        direction="minimise",
        over="retained",
    ),
)
