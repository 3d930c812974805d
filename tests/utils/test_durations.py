"""Durations and points in time as users write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from yolo_callbacks.utils.durations import validate_duration, validate_moment


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("11:50:00", 42600),
        (42600, 42600),  # what YAML makes of 11:50:00 without quotes
        ("0:00:30", 30),
        ("1-00:00:00", 86400),
        ("100:00:00", 360000),
        ("30m", 1800),
        ("1h30m", 5400),
        (" 1 h 30 m ", 5400),
        ("2d", 172800),
        ("1D2H3M4S", 93784),
        ("1 min", 60),
        ("1h 5min", 3900),
        (0.5, 0.5),
    ],
)
def test_a_duration(given, seconds):
    assert validate_duration("duration", given) == seconds


@pytest.mark.parametrize("given", ["", " ", "1:2", "1:60:00", "h", "10", "30 minutes", "-5m", "1.5h", "30m1h"])
def test_no_duration(given):
    with pytest.raises(ValueError, match="duration must be a duration such as"):
        validate_duration("duration", given)


def test_hours_and_minutes_alone_may_be_minutes_and_seconds():
    with pytest.raises(ValueError, match=r"received '11:50': write '11:50:00' for hours, '0:11:50' for minutes$"):
        validate_duration("duration", "11:50")


@pytest.mark.parametrize(("given", "minimum", "seconds"), [(0, 0, 0), ("0s", 0, 0), (1, 1, 1), ("1m", 1, 60)])
def test_a_least_duration(given, minimum, seconds):
    assert validate_duration("every", given, minimum=minimum) == seconds


@pytest.mark.parametrize(("given", "minimum"), [(-1, 0), (0.5, 1), ("0s", 1), (0, None), ("0m", None)])
def test_too_short(given, minimum):
    with pytest.raises(ValueError, match=r"every must be (finite and )?(at least|greater than)"):
        validate_duration("every", given, minimum=minimum)


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2026-11-27 18:00", datetime(2026, 11, 27, 18)),
        ("2026-11-27T18:00:05", datetime(2026, 11, 27, 18, 0, 5)),
        ("2026-11-27 18:00Z", datetime(2026, 11, 27, 18, tzinfo=timezone.utc)),
        ("2026-11-27 18:00+02:00", datetime(2026, 11, 27, 18, tzinfo=timezone(timedelta(hours=2)))),
        (datetime(2026, 11, 27, 18), datetime(2026, 11, 27, 18)),
    ],
)
def test_a_moment(given, moment):
    assert validate_moment("until", given) == moment.timestamp()
