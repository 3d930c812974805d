"""The parts of callbacks that decide by a monitor, and deciders of a user's own."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from state_mutations import StandIn
from trainings import REPEATS_COLLAPSED, TINY, detection_metrics
from ultralytics import YOLO

from yolo_callbacks import (
    EarlyStopping,
    EpochRecord,
    MonitorCallback,
    StopOnOverfit,
    StoppingReason,
    TrainingRun,
    attach,
)
from yolo_callbacks.callbacks.memory_parts.leak import LeakWatch
from yolo_callbacks.callbacks.monitor_parts.check_log import CheckLog
from yolo_callbacks.callbacks.monitor_parts.patience import read_patience
from yolo_callbacks.callbacks.monitor_parts.stop import Stop, read_stop
from yolo_callbacks.decisions.stopping import StopDecision
from yolo_callbacks.utils.fields import StateError

NAN = math.nan


class Values(MonitorCallback):
    """A decider of a user: it keeps and logs the values of its checks."""

    def reset(self) -> None:
        super().reset()
        self.values: list[tuple[int, float]] = []
        self.calls: list[str] = []

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        self.values.append((record.epoch, value))
        self.log(record, "values/last", value)

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        self.calls.append(f"skip {record.epoch}")

    def finish(self, run: TrainingRun) -> None:
        self.calls.append("finish")


@pytest.mark.training
@pytest.mark.skipif(REPEATS_COLLAPSED, reason="Ultralytics repeats an epoch whose fitness has dropped to 0")
def test_a_decider_of_the_users_own(train, scripted):
    """Nothing is detected in the first epoch; recall is what two of the three read."""
    scripted([0.0, detection_metrics(0.4, **{"metrics/recall(B)": 0.7}), 0.0, 0.2])
    model, scalars = YOLO(TINY), []
    deciders = Values("recall"), Values("recall", start_epoch=2), Values("recall", skip_untrained=False)
    attach(model, *deciders, strict=True)
    model.add_callback("on_fit_epoch_end", lambda trainer: scalars.append(TrainingRun.of(trainer).record().scalars))
    train(model, epochs=4)
    first, late, untrained = (decider.values for decider in deciders)
    assert first[::2] == [(2, 0.7), (4, 0.2)]
    assert first[1][0] == 3
    assert math.isnan(first[1][1])
    assert [epoch for epoch, _ in late] == [3, 4]
    assert untrained == [(1, 0.0), (2, 0.7), (3, 0.0), (4, 0.2)]
    assert [set(decider.calls) for decider in deciders] == [{"skip 1", "finish"}, {"finish"}, {"finish"}]
    assert scalars[3] == {"values/last": 0.2, "values/last(recall)": 0.2, "values/last(recall)#2": 0.2}


def test_a_decider_without_decide_says_what_is_missing():
    with pytest.raises(NotImplementedError, match=r"^MonitorCallback must override decide"):
        MonitorCallback().decide(None, None, 0.5)  # type: ignore[arg-type]


# A stop ---------------------------------------------------------------------------------------------------------------

GOAL = StopDecision(StoppingReason.STOPPING_THRESHOLD, "the value 1 is better than 0.5")


class Run(SimpleNamespace):
    """A run that can be stopped."""

    extended = False

    def stop(self, record: Any) -> None:
        self.stops = [*getattr(self, "stops", []), record.epoch]


def record(epoch: int) -> Any:
    return SimpleNamespace(epoch=epoch, validated=True)


def test_a_run_is_stopped_once_and_the_first_reason_stays(messages):
    run, stop = Run(), Stop("EarlyStopping")
    stop.carry_out(StopDecision(), run, record(1), "mAP50")
    assert (stop.epoch, stop.outcome("mAP50")) == (0, "not stopped, mAP50")
    stop.carry_out(GOAL, run, record(2), "mAP50")
    stop.carry_out(StopDecision(StoppingReason.NON_FINITE, "later"), run, record(3), "mAP50")
    assert run.stops == [2]
    assert (stop.epoch, stop.reason, stop.message) == (2, GOAL.reason, f"mAP50: {GOAL.message}")
    assert messages == [f"EarlyStopping: stopped at epoch 2, mAP50: {GOAL.message}"]
    restored = Stop("EarlyStopping")
    restored.load_state_dict(read_stop({**stop.state_dict(), "checked_epoch": 2}))
    assert vars(restored) == vars(stop)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("callback", [EarlyStopping("val/loss", patience=3), StopOnOverfit(patience=3)])
def test_a_stopped_run_that_is_extended_has_its_patience_again(callback, extended):
    callback.reset()
    stopped = {
        "stopped_epoch": 4, "stopping_reason": GOAL.reason.value, "stopping_message": "why", "wait": 3,
        "best_score": 0.5, "best_epoch": 1, "monitor": "val/loss", "checked_epoch": 4,
    }  # fmt: skip
    callback.load_state_dict(stopped)
    assert (callback.stopped_epoch, callback.stopping_reason, callback.wait_count) == (4, GOAL.reason, 3)
    callback.resume(Run(extended=extended, completed_epochs=4))
    reached = (callback.stopped_epoch, callback.stopping_reason_message, callback.wait_count)
    assert reached == ((0, "", 0) if extended else (4, "why", 3))
    with pytest.raises(StateError, match="it is of epoch 4, the run has completed 3"):
        callback.resume(Run(completed_epochs=3))


@pytest.mark.parametrize(
    "wrong",
    [
        {"stopped_epoch": 0},
        {"stopped_epoch": 3},
        {"stopping_reason": "not_stopped"},
        {"stopping_reason": "bored"},
        {"stopping_message": 3},
    ],
)
def test_a_stop_that_contradicts_itself_is_refused(wrong):
    state = {"checked_epoch": 2, "stopped_epoch": 2, "stopping_reason": "non_finite", "stopping_message": ""}
    assert read_stop(state)["stopped_epoch"] == 2
    with pytest.raises(StateError):
        read_stop({**state, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"best_score": None}, {"best_epoch": 0}, {"best_epoch": 6}, {"wait": 4}, {"wait": -1}]
)
def test_a_patience_that_contradicts_itself_is_refused(wrong):
    state = {"checked_epoch": 5, "best_score": 0.5, "best_epoch": 2, "wait": 3}
    assert read_patience(state) == {"best_score": 0.5, "best_epoch": 2, "wait": 3}
    with pytest.raises(StateError):
        read_patience({**state, **wrong})


# The checks, and memory that grows ------------------------------------------------------------------------------------


def test_a_reason_for_no_check_is_reported_once(messages):
    log = CheckLog("EarlyStopping")
    for epoch in (1, 2):
        log.miss_value(record(epoch), "mAP50", "it has no value")
    assert log.no_check() == "no check in 2 epochs: it has no value"
    log.finish("mAP50")
    assert messages == ["EarlyStopping: epoch 1 is no check for 'mAP50': it has no value"]
    log.checks = 1
    assert log.no_check() is None


def test_a_run_without_any_check_is_reported_at_its_end_once(messages):
    log = CheckLog("SaveBest")
    log.miss("nothing was detected")
    assert messages == []
    log.finish("mAP50")
    log.finish("mAP50")
    hint = "skip_untrained=False counts these epochs"
    assert messages == [f"SaveBest: 'mAP50' had no check in 1 epoch: nothing was detected ({hint})"]


def test_a_leak_is_reported_once(messages):
    watch = LeakWatch(window=3)
    for epoch in range(20):
        watch.check({"host_process": 1.0 + 0.1 * epoch, "host_workers": 1.0 + 0.2 * epoch})
    assert watch.slope == pytest.approx(0.1)
    assert len(messages) == 1
    assert "host memory of this process has grown through 3 epochs, by 102 MiB an epoch, from 1.00 to" in messages[0]


def test_a_monitor_callback_registered_alone_validates_its_monitor(tmp_path):
    trainer = StandIn(tmp_path)
    trainer.metrics = detection_metrics(0.5)
    with pytest.raises(ValueError, match=r"'mAP5' does not exist in this run. Did you mean 'mAP50'"):
        Values("mAP5").on_fit_epoch_end(trainer)
