"""Fields of stored state: what is right is taken, and nothing else."""

from __future__ import annotations

import json
import math

import pytest

from yolo_callbacks.utils.fields import (
    MAX_COUNT,
    SCHEMA,
    Field,
    StateError,
    anything,
    flag,
    listing,
    mapping,
    number,
    one_of,
    optional,
    pair,
    read_fields,
    schema,
    text,
    whole,
)

NAN, INF = math.nan, math.inf


# Fields ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "right", "wrong"),
    [
        (whole(), [0, 3, 3.0, MAX_COUNT], [-1, 2.5, True, None, "3", [], NAN, INF, 10**9, 10**400, MAX_COUNT + 1]),
        (whole(1, 3), [1, 3], [0, 4]),
        (number(), [0, -1.5, 1e308], [NAN, INF, -INF, True, None, "1", [], 10**400]),
        (number(0.0, 1.0), [0, 1, 0.5], [-0.1, 1.1, NAN]),
        (number(finite=False), [NAN, INF, -INF, 1], [None, "1", True, 10**400]),
        (flag, [True, False], [0, 1, None, "true", []]),
        (text, ["", "größe", "a\nb"], [None, 3, "\ud800", "\x00", []]),
        (one_of("min", "max"), ["min"], ["auto", None, [], {}]),
        (optional(number()), [None, 1.0], [NAN, "1"]),
        (listing(whole(), most=2), [[], [1, 2]], [[1, 2, 3], None, {}, "12", [None]]),
        (pair(whole(), number()), [[1, 0.5]], [[1], [1, 0.5, 2], [0.5, 1], None, {}]),
        (mapping(number()), [{}, {"a": 1}], [{"a": None}, [], None, {"\ud800": 1}]),
        (anything, [None, {"a": [1, {"b": 0.5}]}], [{"\ud800": 1}, {"a": 10**400}, json.loads("[" * 99 + "]" * 99)]),
        (schema, [1, SCHEMA], [0, SCHEMA + 1, None, "1", True]),
    ],
)  # fmt: skip
def test_a_reader_takes_what_is_right_and_nothing_else(read, right, wrong):
    assert all(read(value) == value or value is NAN or isinstance(value, list) for value in right)
    for value in wrong:
        with pytest.raises(StateError) as refused:
            read(value)
        assert len(str(refused.value)) < 250


def test_fields_that_are_missing_unknown_or_wrong():
    fields = {"epoch": Field(whole()), "ended": Field(flag, False)}
    assert read_fields({"epoch": 3, "of a newer version": 1}, fields) == {"epoch": 3, "ended": False}
    for content in ({}, {"epoch": None}, {"epoch": 3, "ended": 1}, None, [], "epoch"):
        with pytest.raises(StateError):
            read_fields(content, fields)
    errors: dict[str, StateError] = {}
    assert read_fields({"epoch": 3, "ended": 1}, fields, errors=errors) == {"epoch": 3, "ended": False}
    assert list(errors) == ["ended"]
