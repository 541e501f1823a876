"""What is asked: parameters, arms, objectives and constraints, and where questions are found. Plain values."""

from sweep.space.constraints import Constraint, Objective
from sweep.space.parameters import Choice, Float, Int, Parameter, Settings, Value, kind
from sweep.space.presets import Preset
from sweep.space.question import (
    CONTROL,
    METHOD,
    Arm,
    Attack,
    SearchSpace,
    stratified,
)

__all__ = [
    "CONTROL", "METHOD", "Arm", "Attack", "Choice", "Constraint", "Float", "Int", "Objective",
    "Parameter", "Preset", "SearchSpace", "Settings", "Value", "kind", "stratified",
]  # fmt: skip
