"""Schedules of the learning rate by name, and functions: which are taken, and what they give."""

from __future__ import annotations

import math
import operator
import re

import pytest

from yolo_callbacks.decisions.rate_schedule import RateSchedule, ScheduleError


def test_one_cycle_where_torch_divides_by_zero():
    schedule = RateSchedule("one_cycle", {"rise": 0.5})
    assert [schedule.factor(epoch, 2) for epoch in range(2)] == pytest.approx([1.0, 4e-6])


def test_an_epoch_after_the_last_one_that_was_planned_is_the_last():
    """With `time=` Ultralytics lowers the number of epochs while it trains."""
    schedule = RateSchedule("one_cycle", {})
    assert schedule.factor(12, 5) == schedule.factor(12, 13) == pytest.approx(4e-6)
    seen: list[tuple[int, int]] = []
    RateSchedule(lambda *given: seen.append(given) or 1.0, {}).factor(12, 5)
    assert seen == [(12, 13)]


class Quadratic:
    """A schedule as an object."""

    def __call__(self, epoch: int, epochs: int) -> float:
        return (1 - epoch / epochs) ** 2


def test_a_function_gives_the_factor():
    for function in (Quadratic(), Quadratic().__call__, lambda epoch, epochs, power=2: (1 - epoch / epochs) ** power):
        assert [RateSchedule(function, {}).factor(epoch, 4) for epoch in range(4)] == [1.0, 0.5625, 0.25, 0.0625]
    assert RateSchedule(lambda epoch, epochs: "0.5", {}).factor(0, 1) == 0.5  # as anything that float() takes
    assert RateSchedule(max, {}).factor(2, 5) == 5.0  # written in C, without a signature


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda epoch, epochs: None, "schedule fails at epoch 1 of 3: TypeError"),
        (lambda epoch, epochs: 1 / (epoch - 1), "at epoch 1 of 3: ZeroDivisionError('division by zero')"),
        (lambda epoch, epochs: -0.1, "must return a factor of at least 0, at epoch 1 it returned -0.1"),
        (lambda epoch, epochs: math.nan, "at epoch 1 it returned nan"),
        (lambda epoch, epochs: math.inf, "at epoch 1 it returned inf"),
    ],
)  # fmt: skip
def test_a_function_that_gives_no_factor(function, match):
    with pytest.raises(ScheduleError, match=re.escape(match)):
        RateSchedule(function, {}).factor(1, 3)


@pytest.mark.parametrize(
    ("schedule", "arguments", "error", "match"),
    [
        (None, {}, TypeError, "schedule must be a name or a function of epoch and epochs, received None"),
        (0.1, {}, TypeError, "received 0.1"),
        ("linear", {}, ValueError, "schedule must be one of constant, step, exponential, cosine_restarts, one_cycle"),
        ("Step", {}, ValueError, "received 'Step', did you mean 'step'?"),
        ("onecycle", {}, ValueError, "did you mean 'one_cycle'?"),
        ("step", {}, ValueError, "schedule 'step' needs every"),
        ("exponential", {"gamma": None}, ValueError, "schedule 'exponential' needs gamma"),
        ("constant", {"gamma": 0.5}, ValueError, "gamma is no argument of the schedule 'constant', which takes no"),
        ("step", {"every": 1, "rise": 0.5}, ValueError, "of the schedule 'step', which takes every and gamma"),
        ("one_cycle", {"every": 1}, ValueError, "which takes rise, start and lowest"),
        (lambda epoch: 1.0, {}, TypeError, "schedule must take (epoch, epochs), but it takes (epoch)"),
        (operator.neg, {}, TypeError, "schedule must take (epoch, epochs), but it takes (a)"),
        (Quadratic(), {"gamma": 0.5}, ValueError, "schedule as a function takes no arguments, received gamma"),
        ("step", {"every": 0}, ValueError, "every must be at least 1, received 0"),
        ("step", {"every": 2.0}, TypeError, "every must be an integer, received 2.0"),
        ("step", {"every": True}, TypeError, "every must be an integer, received True"),
        ("step", {"every": 1, "gamma": "0.1"}, TypeError, "gamma must be a number, received '0.1'"),
        ("step", {"every": 1, "gamma": 0}, ValueError, "gamma must be above 0 and at most 1, received 0"),
        ("exponential", {"gamma": 1.5}, ValueError, "gamma must be above 0 and at most 1, received 1.5"),
        ("exponential", {"gamma": math.nan}, ValueError, "gamma must be above 0"),
        ("cosine_restarts", {"every": 3, "growth": 0}, ValueError, "growth must be at least 1, received 0"),
        ("cosine_restarts", {"every": 3, "lowest": -0.1}, ValueError, "lowest must be from 0 to 1, received -0.1"),
        ("one_cycle", {"rise": 1.0}, ValueError, "rise must be between 0 and 1, received 1.0"),
        ("one_cycle", {"start": False}, TypeError, "start must be a number, received False"),
    ],
)  # fmt: skip
def test_a_schedule_that_is_refused(schedule, arguments, error, match):
    with pytest.raises(error, match=re.escape(match)):
        RateSchedule(schedule, arguments)


@pytest.mark.parametrize(
    ("schedule", "arguments", "words"),
    [
        ("constant", {}, "constant"),
        ("step", {"every": 30}, "step(every=30, gamma=0.1)"),
        (Quadratic().__call__, {}, "__call__"),
        (lambda epoch, epochs: 1.0, {}, "function"),
        (Quadratic(), {}, "function"),
    ],
)
def test_a_schedule_in_words(schedule, arguments, words):
    assert RateSchedule(schedule, arguments).describe() == words
