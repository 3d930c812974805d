"""Exceptions that leave a training on purpose, and those that do not."""

from __future__ import annotations

import threading

import pytest

from yolo_callbacks.utils.control_flow import is_control_flow, is_pruned

# As optuna has it, which these tests do without.
TrialPruned = type("TrialPruned", (Exception,), {"__module__": "optuna.exceptions"})
Mine = type("Mine", (TrialPruned,), {})
Other = type("TrialPruned", (Exception,), {"__module__": "somewhere"})


@pytest.mark.parametrize(
    ("error", "control", "pruned"),
    [
        (TrialPruned("at 3"), True, True),
        (Mine(), True, True),
        (Other(), False, False),
        (KeyboardInterrupt(), True, False),
        (SystemExit(), True, False),
        (Exception("a bug"), False, False),
        (ValueError("a bug"), False, False),
    ],
)
def test_which_exceptions_leave_on_purpose(error, control, pruned):
    assert (is_control_flow(error), is_pruned(error)) == (control, pruned)


@pytest.mark.parametrize(("error", "control"), [(Exception(), True), (ValueError(), False)])
def test_what_the_agent_of_wandb_raises_in_a_thread(error, control):
    found = []

    def run() -> None:
        threading.current_thread()._terminated = True
        found.append(is_control_flow(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [control]


def test_no_exception_is_no_pruning():
    assert not is_pruned(None)
