"""A function in a thread, from report to report, as a trial of Ray Tune needs it."""

from __future__ import annotations

import sys
import threading
from types import ModuleType

import pytest

from yolo_callbacks.utils.ray_trial import FunctionTrial, ThreadTrial, current_trial


def write(folder):
    """Write nothing: no trial of these tests has a checkpoint."""


def report(value, *, last=False):
    """Report a value from the function of a trial."""
    return current_trial().report({"value": value}, write, checkpoint=False, last=last)


def values(trial):
    """The values that a trial reports, to its end."""
    return [found.metrics["value"] for found in iter(trial.next_report, None)]


def test_the_function_goes_on_from_report_to_report():
    done = []

    def function(config):
        for value in range(config["number"]):
            goes_on = report(value)
            done.append((value, goes_on))
        return {"sum": 3}

    trial = ThreadTrial("one", function, {"number": 3})
    for value in range(3):
        assert trial.next_report().metrics == {"value": value}
        assert done == [(earlier, True) for earlier in range(value)]  # it waits
    assert trial.next_report() is None
    assert done[-1] == (2, True)
    assert trial.returned == {"sum": 3}


def test_a_stop_ends_the_function_where_it_waits():
    done = []

    def function(config):
        for value in range(5):
            if not report(value):
                done.append((value, report("another")))
                return

    trial = ThreadTrial("one", function, {})
    assert [trial.next_report().metrics["value"] for _ in range(2)] == [0, 1]
    trial.stop()
    assert done == [(1, False)]
    assert trial.next_report() is None
    trial.stop()  # a second one does nothing


def test_a_stop_before_the_start():
    called = []
    ThreadTrial("one", called.append, {}).stop()
    assert called == []


@pytest.mark.parametrize(("error", "raised"), [(ValueError("wrong"), "wrong"), (SystemExit("no data"), "no data")])
def test_what_the_function_raises_comes_after_its_reports(error, raised):
    def function(config):
        report(1)
        raise error

    trial = ThreadTrial("one", function, {})
    assert trial.next_report().metrics == {"value": 1}
    with pytest.raises(type(error), match=raised):
        trial.next_report()


@pytest.mark.parametrize("code", [None, 0])
def test_a_function_that_exits_on_purpose_has_ended(code):
    def function(config):
        raise SystemExit(code)

    assert ThreadTrial("one", function, {}).next_report() is None


def test_a_trial_belongs_to_its_thread():
    seen = {}

    def function(config):
        seen["inside"] = current_trial()
        other = threading.Thread(target=lambda: seen.update(other=current_trial()))
        other.start()
        other.join()

    trial = ThreadTrial("one", function, {})
    assert values(trial) == []
    assert seen == {"inside": trial, "other": None}
    assert current_trial() is None


def test_a_checkpoint_is_taken_once(tmp_path):
    trial = ThreadTrial("one", print, {})
    trial.checkpoint = tmp_path
    assert [trial.take_checkpoint(), trial.take_checkpoint()] == [tmp_path, None]


def test_a_ray_whose_session_is_another(monkeypatch, messages):
    """Then a function trial is not waited for, which a warning says."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    FunctionTrial("one").start()
    assert "With yolo_callbacks.ray_trainable(function) it does" in messages[-1]
