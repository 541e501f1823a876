"""Streams of noise: keys of 128 bits, apart by purpose, step, seed and settings; normal, and unlike a generator of 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from tiny import parties_of, rows_of, synthesizer_of, training_of

from trainables.federated.mechanisms import MECHANISMS
from trainables.federated.streams import keyed, normal_like, unknown
from trainables.federated.training import Schedule, Training


def key_of(generator: np.random.Generator) -> tuple[int, ...]:
    return tuple(generator.bit_generator.state["state"]["key"].tolist())


def test_the_same_texts_are_the_same_stream_and_no_others_are() -> None:
    parts = [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("a", "bc", ""), ()]
    assert len({key_of(keyed(*p)) for p in parts}) == len(parts)
    assert (keyed("a", "bc").random(9) == keyed("a", "bc").random(9)).all()


@pytest.mark.parametrize("make", [lambda n: keyed("seed", str(n)), lambda n: unknown()], ids=["keyed", "unknown"])
def test_all_128_bits_of_a_key_are_used(make) -> None:  # type: ignore[no-untyped-def]
    """Each bit is as often 1 as 0 over a thousand keys: of a seed of 32 or 56 bits, all but so many would be fixed."""
    keys = np.array([key_of(make(n)) for n in range(1000)], dtype=np.uint64)
    bits = np.unpackbits(keys.view(np.uint8), axis=1)
    assert bits.shape == (1000, 128) and (np.abs(bits.mean(axis=0) - 0.5) < 6 * 0.5 / 1000**0.5).all()


def test_seeds_that_differ_above_32_bits_give_other_noise() -> None:
    """torch.Generator().manual_seed takes these two for one."""
    seeds = (5, 5 + 2**32)
    first, second = (torch.randn(3, generator=torch.Generator().manual_seed(seed)) for seed in seeds)
    assert torch.equal(first, second), "torch keeps more of a seed now: say so where streams are explained"
    noises = [training_of("record", seed=seed)._stream("noise").standard_normal(3) for seed in seeds]
    assert not np.array_equal(*noises)


def test_it_is_normal_in_the_tensors_precision() -> None:
    for dtype in (torch.float32, torch.float64):
        drawn = normal_like(torch.zeros(300, 100, dtype=dtype), keyed("normal"))
        assert drawn.dtype == dtype and drawn.shape == (300, 100)
        assert kstest(drawn.flatten().double().numpy(), "norm").pvalue > 1e-4
        assert len(drawn.unique()) > 29_000


def streams_of(training: Training, purpose: str = "noise") -> set[tuple[int, ...]]:
    return {key_of(training._stream(purpose)) for training.step in range(3)}


def test_trainings_that_differ_in_their_settings_share_neither_noise_nor_batches() -> None:
    """Side by side they would show what is under the noise. The same training has the same."""
    mechanism = MECHANISMS["record"]

    def begin(seed: int = 0, batch: int = 8, rows: int = 40, expected: int = 0, clip: float = 1.0, **nets) -> Training:  # type: ignore[no-untyped-def]
        settings = mechanism.configure({"clip_norm": clip})
        synthesizer = synthesizer_of(**nets)
        table = rows_of(rows, parties_of(2))
        return Training(synthesizer, table, mechanism, settings, Schedule(12, batch), seed, expected_rows=expected)

    changed = [{}, {"seed": 1}, {"batch": 9}, {"expected": 50}, {"clip": 2.0}, {"penalty_weight": 3.0}]
    changed += [{"hard": False}, {"name": "vertigan"}, {"name": "vflgan", "private_weight": 0.5}]
    streams = [key for values in changed for p in ("noise", "batch") for key in streams_of(begin(**values), p)]
    assert len(set(streams)) == len(streams) == 2 * 3 * len(changed)
    assert streams_of(begin()) == streams_of(begin()) == streams_of(begin(rows=30)), "whatever the table"
