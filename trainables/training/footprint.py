"""What a run of unlearning or of an attack holds in memory, as plans are told before anything runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Footprint:
    """What a run holds in memory beside the student, its gradient, its optimiser's moments and its average.

    `teacher`: whether θ₀ is asked for predictions; `exact`: whether for its weights, in float32. `copies` are numbers of float32
    for each trained parameter, a gradient or former values, and `begin` for each of θ₀'s while the run is begun. `images` are the
    most that one step keeps activations of together; 0: the settings' batch. `gradient`: whether a step takes one at all. `moves`:
    what a step moves, a choice of parameters, where it is not what trains. `encoders`: whether a text-to-image model's text
    encoders are there too; `trains_encoders`: they train, and no weight of the U-Net does.

    Where one backward pass goes through two forward passes, the gradients of one wait for those of the other: one of the copies.
    """

    teacher: bool = False
    exact: bool = False
    copies: float = 0.0
    begin: float = 0.0
    images: int = 0
    gradient: bool = True
    moves: str = ""
    encoders: bool = False
    trains_encoders: bool = False
