"""EarlyStopping on real trainings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorder import Recorder
from trainings import TINY, detection_metrics, results_csv
from ultralytics import YOLO
from ultralytics.utils.torch_utils import EarlyStopping as UltralyticsStopper

from examples import examples
from yolo_callbacks import EarlyStopping, StoppingReason, attach
from yolo_callbacks.decisions.stopping import StopRule

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    ("values", "patience", "stopped", "best"),
    [
        ([0.1, 0.2, 0.2, 0.2, 0.2, 0.2], 3, 5, 2),
        ([0.1, 0.2, 0.1, 0.3, 0.1, 0.1], 2, 6, 4),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 1, 0, 6),
        ([0.3, 0.2, 0.2, 0.2, 0.2, 0.2], 1, 2, 1),
    ],
)
def test_stops_at_the_right_epoch(train, scripted, values, patience, stopped, best):
    scripted(values)
    model, stopping, recorder = YOLO(TINY), EarlyStopping(patience=patience), Recorder()
    attach(model, recorder, stopping)
    folder = train(model, epochs=len(values), patience=0)
    assert len(results_csv(folder)) == (stopped or len(values))
    assert recorder.epochs == list(range(1, (stopped or len(values)) + 1))
    assert (stopping.stopped_epoch, stopping.best_epoch) == (stopped, best)
    reason = StoppingReason.PATIENCE_EXHAUSTED if stopped else StoppingReason.NOT_STOPPED
    assert stopping.stopping_reason is reason


def test_patience_none_is_the_patience_of_the_run(train, scripted):
    scripted([0.5] * 8)
    # the run's own stopper counts epochs from the best; ours, one check earlier or later, must not be what is seen
    model, ours = YOLO(TINY), EarlyStopping("mAP50")
    attach(model, ours)
    folder = train(model, epochs=8, patience=3)
    assert ours.stopped_epoch == len(results_csv(folder)) == 4


def test_run_without_patience_is_never_stopped_by_none(train, scripted):
    scripted([0.5] * 5)
    model, ours = YOLO(TINY), EarlyStopping()
    attach(model, ours)
    assert len(results_csv(train(model, epochs=5, patience=0))) == 5
    assert (ours.wait_count, ours.stopped_epoch) == (4, 0)


def test_a_value_that_is_not_finite_stops(train, scripted):
    scripted([0.2, detection_metrics(float("nan"), fitness=0.1), 0.3])
    model, stopping = YOLO(TINY), EarlyStopping("mAP50", patience=9)
    attach(model, stopping)
    train(model, epochs=3)
    assert (stopping.stopped_epoch, stopping.stopping_reason) == (2, StoppingReason.NON_FINITE)


# Ultralytics' own stopper is the reference: what it lets go on, EarlyStopping() lets go on.

fitness = st.one_of(
    st.integers(0, 6).map(lambda number: number / 8),
    st.integers(-4, 4).map(float),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0]),
)


def stops_at(values: list[float | None], patience: int) -> tuple[int, int]:
    """The epoch with which each of the two stops, one more than there are if it does not."""
    theirs, ours = (
        UltralyticsStopper(patience=patience),
        StopRule("max", patience, check_finite=False, exempt_zero=True),
    )
    stopped = {"theirs": len(values) + 1, "ours": len(values) + 1}
    for number, value in enumerate(values, start=1):
        if theirs(number, value):
            stopped["theirs"] = min(stopped["theirs"], number)
        if value is not None and ours.check(number, value).stop:
            stopped["ours"] = min(stopped["ours"], number)
    return stopped["theirs"], stopped["ours"]


@examples(3_000)
@given(values=st.lists(st.one_of(fitness, st.none()), max_size=25), patience=st.integers(1, 6))
def test_never_stops_before_ultralytics_own_stopper(values, patience):
    theirs, ours = stops_at(values, patience)
    assert ours >= theirs


@examples(1_000)
@given(values=st.lists(st.integers(0, 6).map(lambda number: number / 8), max_size=25), patience=st.integers(1, 6))
def test_stops_with_ultralytics_own_stopper_where_every_epoch_is_a_check(values, patience):
    theirs, ours = stops_at(values, patience)
    assert ours == theirs
