"""The arguments of the callbacks: what is refused, with which words, and what is accepted."""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction

import numpy as np
import pytest

from yolo_callbacks import EarlyStopping, SaveBest

BOTH = (EarlyStopping, SaveBest)
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("classes", "arguments", "error", "match"),
    [
        # monitor
        (BOTH, {"monitor": 3}, TypeError, "monitor must be a name, a mapping of names to weights, a function or None"),
        (BOTH, {"monitor": ["mAP50"]}, TypeError, "a function or None, received ['mAP50']"),
        (BOTH, {"monitor": b"mAP50"}, TypeError, "a function or None, received b'mAP50'"),
        (BOTH, {"monitor": False, "mode": "max"}, TypeError, "a function or None, received False"),
        (BOTH, {"monitor": float, "mode": "max"}, TypeError, "a function or None, received <class 'float'>"),
        (BOTH, {"monitor": ""}, ValueError, "monitor must not be empty, received ''"),
        (BOTH, {"monitor": "  "}, ValueError, "monitor must not be empty, received '  '"),
        (BOTH, {"monitor": {}}, ValueError, "monitor must name at least one metric"),
        (BOTH, {"monitor": {0: 1.0}}, TypeError, "monitor must map names to numbers, received the name 0"),
        (
            BOTH,
            {"monitor": {"mAP50": "1"}},
            TypeError,
            "the weight of 'mAP50' in monitor must be a number, received '1'",
        ),
        (
            BOTH,
            {"monitor": {"mAP50": NAN}},
            ValueError,
            "the weight of 'mAP50' in monitor must be finite, received nan",
        ),
        (BOTH, {"monitor": lambda metrics: 0.0}, ValueError, "set mode='min' or mode='max', received mode='auto'"),
        # mode
        (BOTH, {"mode": None}, TypeError, "mode must be 'auto', 'min' or 'max', received None"),
        (BOTH, {"mode": True}, TypeError, "mode must be 'auto', 'min' or 'max', received True"),
        (BOTH, {"mode": "higher"}, ValueError, "mode must be 'auto', 'min' or 'max', received 'higher'"),
        (BOTH, {"mode": "Max"}, ValueError, "mode must be 'auto', 'min' or 'max', received 'Max'"),
        # min_delta
        (BOTH, {"min_delta": "0.1"}, TypeError, "min_delta must be a number, received '0.1'"),
        (BOTH, {"min_delta": None}, TypeError, "min_delta must be a number, received None"),
        (BOTH, {"min_delta": True}, TypeError, "min_delta must be a number, received True"),
        (BOTH, {"min_delta": 1j}, TypeError, "min_delta must be a number, received 1j"),
        (BOTH, {"min_delta": -0.1}, ValueError, "min_delta must be finite and at least 0, received -0.1"),
        (BOTH, {"min_delta": NAN}, ValueError, "min_delta must be finite and at least 0, received nan"),
        (BOTH, {"min_delta": INF}, ValueError, "min_delta must be finite and at least 0, received inf"),
        # start_epoch
        (BOTH, {"start_epoch": 1.0}, TypeError, "start_epoch must be an integer, received 1.0"),
        (BOTH, {"start_epoch": "1"}, TypeError, "start_epoch must be an integer, received '1'"),
        (BOTH, {"start_epoch": None}, TypeError, "start_epoch must be an integer, received None"),
        (BOTH, {"start_epoch": True}, TypeError, "start_epoch must be an integer, received True"),
        (BOTH, {"start_epoch": -1}, ValueError, "start_epoch must be at least 0, received -1"),
        # patience
        ((EarlyStopping,), {"patience": 2.0}, TypeError, "patience must be an integer, received 2.0"),
        ((EarlyStopping,), {"patience": "20"}, TypeError, "patience must be an integer, received '20'"),
        ((EarlyStopping,), {"patience": True}, TypeError, "patience must be an integer, received True"),
        ((EarlyStopping,), {"patience": False}, TypeError, "patience must be an integer, received False"),
        ((EarlyStopping,), {"patience": INF}, TypeError, "patience must be an integer, received inf"),
        ((EarlyStopping,), {"patience": -1}, ValueError, "patience must be at least 0, received -1"),
        # thresholds
        *(
            ((EarlyStopping,), {name: value}, error, f"{name} must be {allowed}, received {value!r}")
            for name in ("stopping_threshold", "divergence_threshold")
            for value, error, allowed in (
                ("0.9", TypeError, "a number"),
                ([0.9], TypeError, "a number"),
                (False, TypeError, "a number"),
                (NAN, ValueError, "finite"),
                (INF, ValueError, "finite"),
                (-INF, ValueError, "finite"),
            )
        ),
        # check_finite, keep_optimizer
        ((EarlyStopping,), {"check_finite": 1}, TypeError, "check_finite must be True or False, received 1"),
        ((EarlyStopping,), {"check_finite": None}, TypeError, "check_finite must be True or False, received None"),
        ((EarlyStopping,), {"check_finite": "yes"}, TypeError, "check_finite must be True or False, received 'yes'"),
        ((SaveBest,), {"keep_optimizer": 0}, TypeError, "keep_optimizer must be True or False, received 0"),
        ((SaveBest,), {"keep_optimizer": None}, TypeError, "keep_optimizer must be True or False, received None"),
        # top_k
        ((SaveBest,), {"top_k": 1.0}, TypeError, "top_k must be an integer, received 1.0"),
        ((SaveBest,), {"top_k": "3"}, TypeError, "top_k must be an integer, received '3'"),
        ((SaveBest,), {"top_k": None}, TypeError, "top_k must be an integer, received None"),
        ((SaveBest,), {"top_k": True}, TypeError, "top_k must be an integer, received True"),
        ((SaveBest,), {"top_k": 0}, ValueError, "top_k must be at least 1, received 0"),
        ((SaveBest,), {"top_k": -1}, ValueError, "top_k must be at least 1, received -1"),
        # filename: a plain name, and none that Ultralytics or a top_k of ours writes
        ((SaveBest,), {"filename": 3}, TypeError, "filename must be a string or None, received 3"),
        ((SaveBest,), {"filename": b"mine"}, TypeError, "filename must be a string or None, received b'mine'"),
        ((SaveBest,), {"filename": False}, TypeError, "filename must be a string or None, received False"),
        *(
            (
                (SaveBest,),
                {"filename": name},
                ValueError,
                f"letters, digits and ._()- without a folder, received {name!r}",
            )
            for name in (
                *("", ".pt", ".", "..", ".hidden", "a/b", "/tmp/mine", "../mine", "a\\b", "C:mine", "a b", " mine"),
                *("mine\n", "größe", "mAP50*", "a?b", "a\x00b", "~mine", "{epoch}"),
            )
        ),
        *(
            ((SaveBest,), {"filename": name}, ValueError, f"last, best or one that ends in an epoch, received {name!r}")
            for name in ("last", "best", "last.pt", "best.pt", "Best", "LAST.pt", "epoch0", "epoch12.pt", "Epoch3")
        ),
        # neither by position nor under another name
        ((EarlyStopping,), {"patiense": 3}, TypeError, "has no argument 'patiense', did you mean 'patience'?"),
        ((SaveBest,), {"patiense": 3}, TypeError, "SaveBest has no argument 'patiense'"),
        ((SaveBest,), {"patience": 3}, TypeError, "SaveBest has no argument 'patience'"),
        ((EarlyStopping,), {"top_k": 3}, TypeError, "EarlyStopping has no argument 'top_k'"),
    ],
)
def test_refused(classes, arguments, error, match):
    for callback in classes:
        with pytest.raises(error, match=re.escape(match)):
            callback(**arguments)


@pytest.mark.parametrize("callback", BOTH)
def test_all_but_monitor_and_mode_go_by_name(callback):
    made = callback("val/box_loss", "min")
    assert (made.monitor_name, made.mode) == ("val/box_loss", "min")
    with pytest.raises(TypeError, match="positional arguments"):
        callback("val/box_loss", "min", 3)


@pytest.mark.parametrize(
    ("callback", "arguments", "attribute", "expected"),
    [
        # the defaults
        (EarlyStopping, {}, "monitor_name", "fitness"),
        (EarlyStopping, {}, "patience", None),
        (EarlyStopping, {}, "min_delta", 0.0),
        (EarlyStopping, {}, "start_epoch", 0),
        (EarlyStopping, {}, "stopping_threshold", None),
        (EarlyStopping, {}, "divergence_threshold", None),
        (EarlyStopping, {}, "check_finite", True),
        (SaveBest, {}, "monitor_name", "mAP50-95"),
        (SaveBest, {}, "top_k", 1),
        (SaveBest, {}, "min_delta", 0.0),
        (SaveBest, {}, "start_epoch", 0),
        (SaveBest, {}, "filename", None),
        (SaveBest, {}, "keep_optimizer", False),
        # numbers of other kinds become Python's own, which go into JSON
        (EarlyStopping, {"patience": np.int64(3)}, "patience", 3),
        (EarlyStopping, {"patience": np.uint8(0)}, "patience", 0),
        (EarlyStopping, {"start_epoch": np.int32(2)}, "start_epoch", 2),
        (EarlyStopping, {"min_delta": np.float32(0.5)}, "min_delta", 0.5),
        (EarlyStopping, {"min_delta": np.float64(0.25)}, "min_delta", 0.25),
        (EarlyStopping, {"min_delta": 1}, "min_delta", 1.0),
        (EarlyStopping, {"min_delta": Fraction(1, 4)}, "min_delta", 0.25),
        (EarlyStopping, {"stopping_threshold": np.float16(0.5)}, "stopping_threshold", 0.5),
        (EarlyStopping, {"stopping_threshold": 0}, "stopping_threshold", 0.0),
        (EarlyStopping, {"stopping_threshold": -2.5}, "stopping_threshold", -2.5),
        (EarlyStopping, {"divergence_threshold": np.int64(9)}, "divergence_threshold", 9.0),
        (EarlyStopping, {"check_finite": False}, "check_finite", False),
        (SaveBest, {"top_k": np.int64(3)}, "top_k", 3),
        (SaveBest, {"start_epoch": np.int16(2)}, "start_epoch", 2),
        (SaveBest, {"min_delta": np.float64(0.25)}, "min_delta", 0.25),
        (SaveBest, {"keep_optimizer": True}, "keep_optimizer", True),
        (SaveBest, {"monitor": {"mAP50": np.float32(0.5)}}, "monitor_name", "0.5*mAP50"),
        # names of files
        (SaveBest, {"filename": "mine"}, "filename", "mine"),
        (SaveBest, {"filename": "mine.pt"}, "filename", "mine"),
        (SaveBest, {"filename": "my-Best_v1.2(a)"}, "filename", "my-Best_v1.2(a)"),
        (SaveBest, {"filename": "best-mine"}, "filename", "best-mine"),
        (SaveBest, {"filename": "bestest"}, "filename", "bestest"),
        (SaveBest, {"filename": "epoch"}, "filename", "epoch"),
        (SaveBest, {"filename": "epoch3b"}, "filename", "epoch3b"),
        (SaveBest, {"filename": "7"}, "filename", "7"),
    ],
)
def test_accepted(callback, arguments, attribute, expected):
    value = getattr(callback(**arguments), attribute)
    assert value == expected
    assert type(value) is type(expected)


def score(metrics):
    return metrics["fitness"]


@pytest.mark.parametrize(
    ("arguments", "task", "file"),
    [
        ({}, "detect", "best-mAP50-95"),
        ({}, "segment", "best-mAP50-95-M"),
        ({}, "classify", "best-top1"),
        ({"monitor": "val/box_loss"}, "detect", "best-val-box_loss"),
        ({"monitor": "metrics/mAP50(B)"}, "detect", "best-metrics-mAP50-B"),
        ({"monitor": "recall/traffic light"}, "detect", "best-recall-traffic-light"),
        ({"monitor": "recall/größe"}, "detect", "best-recall-größe"),
        ({"monitor": "recall/..\\up"}, "detect", "best-recall-..-up"),
        ({"monitor": "recall/交通 / 灯"}, "detect", "best-recall-交通-灯"),
        ({"monitor": "min(mAP50-95(M))"}, "segment", "best-min-mAP50-95-M"),
        ({"monitor": {"mAP50": 0.1, "mAP50-95": 0.9}}, "detect", "best-0.1-mAP50-0.9-mAP50-95"),
        ({"monitor": score, "mode": "max"}, "detect", "best-score"),
        ({"monitor": lambda metrics: 0.0, "mode": "max"}, "detect", "best-custom"),
        ({"monitor": functools.partial(score), "mode": "max"}, "detect", "best-custom"),
        ({"monitor": "mAP50", "top_k": 3}, "detect", "best-mAP50-epoch<NNN>"),
        ({"filename": "mine"}, "detect", "mine"),
        ({"filename": "mine.pt", "top_k": 2}, "detect", "mine-epoch<NNN>"),
    ],
)
def test_the_files_that_are_claimed(arguments, task, file):
    assert SaveBest(**arguments).output_files(task) == {f"weights/{file}.pt".casefold()}


@pytest.mark.parametrize("callback", BOTH)
def test_auto_is_decided_by_the_run(callback):
    with pytest.raises(RuntimeError, match="mode='auto' is decided when a training starts"):
        _ = callback("mAP50").mode


def test_nothing_has_happened_yet():
    stopping, saving = EarlyStopping(), SaveBest()
    assert (stopping.best_score, stopping.best_epoch, stopping.wait_count, stopping.stopped_epoch) == (None, 0, 0, 0)
    assert (stopping.stopping_reason.value, stopping.stopping_reason_message) == ("not_stopped", "")
    assert (saving.best_score, saving.best_epoch, saving.best_model_path, saving.best_k_models) == (None, 0, None, {})
