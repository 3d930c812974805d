"""Test the state that `status` derives from the heartbeat of a run."""

from __future__ import annotations

import pytest

from yolo_callbacks.decisions.run_health import ACTIVE, ENDED, ended_state, health, is_well


@pytest.mark.parametrize(
    ("status", "stopped_by", "expected"),
    [
        ("finished", "", ("finished", "")),
        ("finished", "EarlyStopping: no improvement", ("stopped", "EarlyStopping: no improvement")),
        ("left early", "Deadline: an epoch of 20 s", ("left", "Deadline: an epoch of 20 s")),
        ("pruned", "OptunaPruning", ("pruned", "OptunaPruning")),
        ("ended", "", ("interrupted", "")),
        ("ended by Ctrl-C", "", ("interrupted", "Ctrl-C")),
        ("ended by SIGTERM", "", ("interrupted", "SIGTERM")),
        ("ended by W&B's agent", "", ("interrupted", "W&B's agent")),
        ("ended by ValueError", "", ("failed", "ValueError")),
        ("ended by OutOfMemoryError", "", ("failed", "OutOfMemoryError")),
    ],
)
def test_how_a_run_has_ended(status, stopped_by, expected):
    state, reason = ended_state(status, stopped_by)
    assert (state, reason) == expected
    assert state in ENDED


@pytest.mark.parametrize("state", ACTIVE)
@pytest.mark.parametrize(
    ("age", "alive", "expected"),
    [
        (5, True, None),
        (60, True, None),
        (61, True, "silent"),
        (61, None, "silent"),
        (5, None, None),
        (5, False, "killed"),
    ],
)
def test_an_old_heartbeat(state, age, alive, expected):
    assert health(state, age, 10.0, process_alive=alive) == (expected or state)


@pytest.mark.parametrize("state", ENDED)
def test_a_run_that_has_ended_needs_no_heartbeat(state):
    assert health(state, 1e9, 10.0, process_alive=False) == state


def test_what_is_well():
    well = {state for state in (*ACTIVE, *ENDED, "killed", "silent", "unknown") if is_well(state)}
    assert well == {*ACTIVE, "finished", "stopped", "left", "pruned"}


def test_the_states_of_a_run_that_goes_on_end_in_ing():
    """A command of docs/watching.md waits for the end of a run by that."""
    assert all(state.endswith("ing") for state in ACTIVE)
    assert not [state for state in (*ENDED, "killed", "silent", "unknown") if state.endswith("ing")]
