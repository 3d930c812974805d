"""Find the copied checkpoints that belong to an earlier iteration than the last copied one."""

from __future__ import annotations

import pytest

from yolo_callbacks.decisions.stale_copies import Iteration, stale_copies

FIRST = Iteration({"best-a-epoch001.pt": (10, 1), "best-a-epoch002.pt": (11, 1)}, {"last.pt": (12, 1)})
SECOND = Iteration({"best-a-epoch002.pt": (21, 1), "best-a-epoch003.pt": (22, 1)}, {"last.pt": (23, 1)})
EMPTY = Iteration({}, {"last.pt": (33, 1)})


def copied(*iterations: Iteration) -> dict[str, tuple[int, int]]:
    """The folder after these iterations were copied into it, one after the other."""
    return {name: stamp for each in iterations for part in each for name, stamp in part.items()}


@pytest.mark.parametrize(
    ("found", "iterations", "stale"),
    [
        ({}, [], []),
        ({}, [FIRST], []),
        (copied(FIRST), [FIRST], []),
        (copied(FIRST, SECOND), [FIRST, SECOND], ["best-a-epoch001.pt"]),
        (copied(FIRST), [FIRST, SECOND], []),  # the second was not the best
        (copied(SECOND), [FIRST, SECOND], []),
        # the best has kept none: its last.pt tells that it was copied
        (copied(FIRST, EMPTY), [FIRST, SECOND, EMPTY], ["best-a-epoch001.pt", "best-a-epoch002.pt"]),
        (copied(FIRST, SECOND, EMPTY), [FIRST, SECOND, EMPTY], [f"best-a-epoch00{n}.pt" for n in (1, 2, 3)]),
    ],
)
def test_stale_copies(found, iterations, stale):
    assert stale_copies(found, iterations) == stale


def test_a_file_of_another_origin_is_never_stale():
    """A file that a callback did not write may have the name of a checkpoint of a callback."""
    found = {**copied(FIRST, SECOND), "best-a-epoch001.pt": (10, 2), "mine.pt": (1, 1)}
    assert stale_copies(found, [FIRST, SECOND]) == []
    assert stale_copies({"mine.pt": (1, 1)}, [FIRST, SECOND]) == []
