"""Decide when to free memory, and how often."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from yolo_callbacks.decisions.freeing import Cadence, cache_is_idle, host_is_short

MIB = 2**20


@pytest.mark.parametrize(
    ("allocated", "reserved", "capacity", "threshold", "idle"),
    [
        (1, 6, 10, 0.5, True),
        (3, 6, 10, 0.5, False),  # exactly half is in use
        (4, 6, 10, 0.5, False),  # most of it is in use: emptying it would bring little
        (0, 5, 10, 0.5, False),  # at the threshold, not past it
        (1, 6, 10, 0.7, False),
        (0, 1, 10, 0.0, True),
        (0, 6, 0, 0.5, False),  # a device that does not report its size
    ],
)
def test_when_a_cache_is_idle(allocated, reserved, capacity, threshold, idle):
    found = cache_is_idle(allocated=allocated, reserved=reserved, capacity=capacity, threshold=threshold)
    assert found is idle


def test_when_the_host_is_short():
    assert host_is_short(9, 100)
    assert not host_is_short(10, 100)


def epochs_of_steps(cadence: Cadence, epochs: int, step: Any) -> list[int]:
    """The epochs in which a step is made; `step(epoch)` gives bytes before, bytes after and seconds."""
    made = []
    for epoch in range(1, epochs + 1):
        if epoch >= cadence.next_epoch:
            before, after, seconds = step(epoch)
            cadence.stepped(epoch, before=before, after=after, seconds=seconds)
            made.append(epoch)
    return made


@pytest.mark.parametrize(
    ("every", "step", "made"),
    [
        # what was freed is taken again at once
        (1, lambda epoch: (630 * MIB, 600 * MIB, 0.01), [1, 2, 10]),
        (3, lambda epoch: (630 * MIB, 600 * MIB, 0.01), [3, 6, 30]),
        # nothing to free
        (1, lambda epoch: (600 * MIB, 600 * MIB, 0.01), [1, 9]),
        # slow: 30 MiB in a second
        (1, lambda epoch: (630 * MIB, 600 * MIB, 1.0), [1, 9]),
        # 40 MiB freed for good each time
        (1, lambda epoch: ((2000 - 40 * epoch) * MIB, (1960 - 40 * epoch) * MIB, 0.01), list(range(1, 33))),
    ],
)
def test_a_step_that_is_not_worth_it_is_made_an_eighth_as_often(every, step, made):
    assert epochs_of_steps(Cadence(every), 32, step) == made


def test_the_pause_has_an_end_and_worth_brings_it_back():
    cadence = Cadence(1)
    made = epochs_of_steps(cadence, 400, lambda _: (MIB, MIB, 0.0))
    assert max(later - earlier for earlier, later in pairwise(made)) == 64
    cadence.stepped(400, before=2000 * MIB, after=1000 * MIB, seconds=0.01)
    assert cadence.next_epoch == 401
