"""Exceptions that leave a training on purpose, and those that do not."""

from __future__ import annotations

import signal
import threading

import pytest

from yolo_callbacks.utils.control_flow import StoppedByAgent, TrialStopped, is_control_flow, is_pruned, is_stopped
from yolo_callbacks.utils.signals import Terminated, raise_on_sigterm

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
        (TrialStopped("by Ray Tune"), True, True),
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
        found.extend([is_control_flow(error), is_stopped(error)])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [control, control]
    assert not is_stopped(error)  # of this thread


def test_no_exception_is_no_pruning():
    assert not is_pruned(None)
    assert not is_stopped(None)


@pytest.mark.parametrize(("sweep", "kind", "code"), [("", Terminated, 143), ("s1", StoppedByAgent, 0)])
def test_a_sigterm_stops_a_trial_of_a_sweep_without_a_failure(sweep, kind, code, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", sweep)
    with raise_on_sigterm(), pytest.raises(SystemExit) as raised:
        signal.raise_signal(signal.SIGTERM)
    assert (type(raised.value), raised.value.code) == (kind, code)
    assert is_stopped(raised.value) is bool(sweep)
    assert is_control_flow(raised.value)


def test_a_stopped_trial_exits_without_an_error():
    """Ray takes any other code of an exit for a failure."""
    stopped = TrialStopped("by Ray Tune at epoch 2")
    assert (stopped.code, str(stopped)) == (0, "by Ray Tune at epoch 2")
