"""Read `monitor=` and `mode=`: values of an epoch, modes decided by the name, errors."""

from __future__ import annotations

import functools
import math
import re

import numpy as np
import pytest

from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.metrics.monitor import Monitor
from yolo_callbacks.utils.unknown_arguments import nearest

NAN, INF = math.nan, math.inf
NAMES = {0: "person", 1: "car", 2: "traffic/light", 3: "dog", 4: "3"}

BOX = {"precision(B)": 0.81, "recall(B)": 0.72, "mAP50(B)": 0.63, "mAP50-95(B)": 0.54}
MASK = {"precision(M)": 0.41, "recall(M)": 0.32, "mAP50(M)": 0.23, "mAP50-95(M)": 0.14}
POSE = {"precision(P)": 0.45, "recall(P)": 0.36, "mAP50(P)": 0.27, "mAP50-95(P)": 0.18}
METRICS = {
    "detect": BOX,
    "obb": BOX,
    "segment": BOX | MASK,
    "pose": BOX | POSE,
    "classify": {"accuracy_top1": 0.9, "accuracy_top5": 0.96},
    "depth": {"rmse": 3.5, "delta1": 0.85},  # a task that we know nothing of
}
# Losses of the training; those of the validation are 10 more each.
LOSSES = {
    "detect": {"box_loss": 1.5, "cls_loss": 2.25, "dfl_loss": 0.75},
    "obb": {"box_loss": 1.5, "cls_loss": 2.25, "dfl_loss": 0.75, "angle_loss": 0.5},
    "segment": {"box_loss": 1.5, "seg_loss": 3.0, "cls_loss": 2.25, "dfl_loss": 0.75, "sem_loss": 0.25},
    "pose": {"box_loss": 1.5, "pose_loss": 4.0, "kobj_loss": 0.5, "cls_loss": 2.25, "dfl_loss": 0.75},
    "classify": {"loss": 1.25},
    "depth": {"silog_loss": 2.5, "grad_loss": 0.5},
}
TASKS = tuple(METRICS)
RATES = {"lr/pg0": 0.01, "lr/pg1": 0.02, "lr/pg2": 0.03}
TRAINING = {task: {f"train/{loss}": value for loss, value in LOSSES[task].items()} | RATES for task in TASKS}


def metric_names_of(task, *, losses=True):
    """The names of a run, those of the losses on request."""
    keys = (*(f"metrics/{name}" for name in METRICS[task]), *RATES)
    return MetricNames(task, keys, tuple(LOSSES[task]) if losses else None, NAMES)


def epoch_of(task, *, per_class=None, **changes):
    """A validated epoch of a run. A class has the mean value and 0.01 for each step of its index; no dog was seen."""
    means = {name: value for name, value in METRICS[task].items() if name.endswith(")")}
    values = {name: {index: mean + index / 100 for index in NAMES if index != 3} for name, mean in means.items()}
    return EpochRecord(
        epoch=1,
        epochs=3,
        metrics=TRAINING[task]
        | {f"metrics/{name}": value for name, value in METRICS[task].items()}
        | {f"val/{loss}": value + 10 for loss, value in LOSSES[task].items()}
        | {"fitness": 0.5}
        | changes,
        per_class=values | (per_class or {}),
        names=NAMES,
    )


def bound(task, monitor, mode="auto"):
    """A monitor that knows the names of a run."""
    made = Monitor(monitor, mode)
    assert made.bind(metric_names_of(task))
    return made


@pytest.mark.parametrize("task", TASKS)
def test_the_examples_are_complete(task):
    assert set(metric_names_of(task).all_keys) == set(epoch_of(task).metrics)


def total(metrics):
    return sum(metrics.values())


class Scored:
    def __call__(self, metrics):
        return metrics["fitness"]


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "mode", "error", "match"),
    [
        ("mAP50", None, TypeError, "mode must be 'auto', 'min' or 'max', received None"),
        ("mAP50", 1, TypeError, "mode must be 'auto', 'min' or 'max', received 1"),
        ("mAP50", ["min"], TypeError, "mode must be 'auto', 'min' or 'max', received ['min']"),
        ("mAP50", "", ValueError, "mode must be 'auto', 'min' or 'max', received ''"),
        ("mAP50", "MIN", ValueError, "mode must be 'auto', 'min' or 'max', received 'MIN'"),
        ("mAP50", "maximum", ValueError, "mode must be 'auto', 'min' or 'max', received 'maximum'"),
        (3, "auto", TypeError, "monitor must be a name, a mapping of names to weights, a function or None, received 3"),
        (0.5, "max", TypeError, "a function or None, received 0.5"),
        (True, "max", TypeError, "a function or None, received True"),
        (b"mAP50", "auto", TypeError, "a function or None, received b'mAP50'"),
        (["mAP50"], "auto", TypeError, "a function or None, received ['mAP50']"),
        (("mAP50", "recall"), "auto", TypeError, "a function or None, received ('mAP50', 'recall')"),
        ({"mAP50"}, "auto", TypeError, "a function or None, received {'mAP50'}"),
        (Scored, "max", TypeError, "a function or None, received <class"),  # its instances would do
        ("", "auto", ValueError, "monitor must not be empty, received ''"),
        (" \t", "max", ValueError, "monitor must not be empty, received"),
        ({}, "max", ValueError, "monitor must name at least one metric, received an empty mapping"),
        ({1: 0.5}, "auto", TypeError, "monitor must map names to numbers, received the name 1"),
        ({None: 0.5}, "auto", TypeError, "monitor must map names to numbers, received the name None"),
        ({"mAP50": "0.1"}, "auto", TypeError, "the weight of 'mAP50' in monitor must be a number, received '0.1'"),
        ({"mAP50": None}, "auto", TypeError, "the weight of 'mAP50' in monitor must be a number, received None"),
        ({"mAP50": True}, "auto", TypeError, "the weight of 'mAP50' in monitor must be a number, received True"),
        ({"mAP50": 1, "recall": NAN}, "max", ValueError, "the weight of 'recall' in monitor must be finite"),
        ({"mAP50": -INF}, "max", ValueError, "the weight of 'mAP50' in monitor must be finite, received -inf"),
        (total, "auto", ValueError, "monitor is a function: set mode='min' or mode='max', received mode='auto'"),
        (lambda metrics: 0.0, "auto", ValueError, "monitor is a function: set mode='min' or mode='max'"),
        (Scored(), "auto", ValueError, "monitor is a function: set mode='min' or mode='max'"),
        (functools.partial(total), "auto", ValueError, "monitor is a function: set mode='min' or mode='max'"),
    ],
)
def test_wrong_arguments(monitor, mode, error, match):
    with pytest.raises(error, match=re.escape(match)):
        Monitor(monitor, mode)


# What each form reads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "monitor", "mode", "value", "resolved"),
    [
        # the task's main metric
        ("detect", None, "auto", 0.54, "max"),
        ("obb", None, "auto", 0.54, "max"),
        ("segment", None, "auto", 0.14, "max"),
        ("pose", None, "auto", 0.18, "max"),
        ("classify", None, "auto", 0.9, "max"),
        ("depth", None, "auto", 0.5, "max"),
        ("detect", None, "min", 0.54, "min"),
        # Ultralytics' own keys
        ("detect", "metrics/precision(B)", "auto", 0.81, "max"),
        ("obb", "metrics/mAP50-95(B)", "auto", 0.54, "max"),
        ("segment", "metrics/recall(M)", "auto", 0.32, "max"),
        ("pose", "metrics/mAP50(P)", "auto", 0.27, "max"),
        ("classify", "metrics/accuracy_top1", "auto", 0.9, "max"),
        ("classify", "metrics/accuracy_top5", "auto", 0.96, "max"),
        ("depth", "metrics/delta1", "max", 0.85, "max"),
        ("depth", "metrics/rmse", "min", 3.5, "min"),
        ("detect", "val/box_loss", "auto", 11.5, "min"),
        ("obb", "val/angle_loss", "auto", 10.5, "min"),
        ("segment", "val/sem_loss", "auto", 10.25, "min"),
        ("pose", "train/kobj_loss", "auto", 0.5, "min"),
        ("depth", "val/silog_loss", "auto", 12.5, "min"),
        ("depth", "train/grad_loss", "auto", 0.5, "min"),
        ("detect", "val/box_loss", "max", 11.5, "max"),
        # short names, of the boxes where nothing else is said
        ("detect", "precision", "auto", 0.81, "max"),
        ("detect", "recall", "auto", 0.72, "max"),
        ("detect", "mAP50", "auto", 0.63, "max"),
        ("detect", "mAP50-95", "auto", 0.54, "max"),
        ("detect", "mAP50(B)", "auto", 0.63, "max"),
        ("obb", "mAP50", "auto", 0.63, "max"),
        ("segment", "mAP50-95", "auto", 0.54, "max"),
        ("segment", "mAP50-95(M)", "auto", 0.14, "max"),
        ("segment", "precision(M)", "auto", 0.41, "max"),
        ("pose", "recall", "auto", 0.72, "max"),
        ("pose", "recall(P)", "auto", 0.36, "max"),
        ("classify", "top1", "auto", 0.9, "max"),
        ("classify", "top5", "auto", 0.96, "max"),
        *((task, "fitness", "auto", 0.5, "max") for task in TASKS),
        # losses: the key called "loss" where there is one, else the sum
        ("detect", "train/box_loss", "auto", 1.5, "min"),
        ("detect", "train/loss", "auto", 4.5, "min"),
        ("detect", "val/loss", "auto", 34.5, "min"),
        ("obb", "val/loss", "auto", 45.0, "min"),
        ("segment", "train/loss", "auto", 7.75, "min"),
        ("pose", "val/loss", "auto", 59.0, "min"),
        ("classify", "train/loss", "auto", 1.25, "min"),
        ("classify", "val/loss", "auto", 11.25, "min"),
        ("depth", "val/loss", "auto", 23.0, "min"),
        # one class, by name or index; a name goes before an index
        ("detect", "mAP50-95/person", "auto", 0.54, "max"),
        ("detect", "recall/car", "auto", 0.73, "max"),
        ("detect", "recall/1", "auto", 0.73, "max"),
        ("detect", "recall/0", "auto", 0.72, "max"),
        ("detect", "mAP50/traffic/light", "auto", 0.65, "max"),
        ("detect", "mAP50/2", "auto", 0.65, "max"),
        ("detect", "precision/3", "auto", 0.85, "max"),
        ("detect", "precision/4", "auto", 0.85, "max"),
        ("obb", "mAP50/car", "auto", 0.64, "max"),
        ("segment", "mAP50/car", "auto", 0.64, "max"),
        ("segment", "mAP50(M)/car", "auto", 0.24, "max"),
        ("segment", "recall(M)/traffic/light", "auto", 0.34, "max"),
        ("pose", "mAP50-95(P)/1", "auto", 0.19, "max"),
        ("detect", "metrics/mAP50(B)/car", "auto", 0.64, "max"),
        ("detect", "recall/car", "min", 0.73, "min"),
        # the worst class
        ("detect", "min(mAP50-95)", "auto", 0.54, "max"),
        ("segment", "min(recall(M))", "auto", 0.32, "max"),
        ("pose", "min(mAP50(P))", "auto", 0.27, "max"),
        ("obb", "min(metrics/precision(B))", "auto", 0.81, "max"),
        # weighted sums
        ("detect", {"mAP50": 0.1, "mAP50-95": 0.9}, "auto", 0.549, "max"),
        ("detect", {"mAP50": np.float32(0.5), "recall": 1}, "auto", 1.035, "max"),
        ("segment", {"mAP50-95": 0.5, "mAP50-95(M)": 0.5}, "auto", 0.34, "max"),
        ("detect", {"recall/car": 2, "min(mAP50)": 1, "fitness": 0.5}, "auto", 2.34, "max"),
        ("classify", {"top1": 0.75, "top5": 0.25}, "auto", 0.915, "max"),
        ("detect", {"val/box_loss": 1, "val/cls_loss": 0.5}, "auto", 17.625, "min"),
        ("detect", {"val/loss": 1, "train/loss": 1}, "auto", 39.0, "min"),
        ("detect", {"val/box_loss": 1, "train/box_loss": -1}, "min", 10.0, "min"),
        ("detect", {"mAP50": 1, "val/box_loss": -0.1}, "max", -0.52, "max"),
        # functions
        ("detect", lambda metrics: metrics["metrics/mAP50(B)"] - metrics["train/box_loss"], "max", -0.87, "max"),
        ("classify", total, "min", 0.9 + 0.96 + 1.25 + 11.25 + 0.06 + 0.5, "min"),
        ("depth", Scored(), "max", 0.5, "max"),
        ("depth", lambda metrics: np.float32(0.25), "max", 0.25, "max"),
        ("depth", lambda metrics: 1, "max", 1.0, "max"),
        # learning rates
        ("detect", "lr/pg0", "min", 0.01, "min"),
        ("classify", "lr/pg2", "max", 0.03, "max"),
    ],
)
def test_what_is_read(task, monitor, mode, value, resolved):
    made = Monitor(monitor, mode)
    assert made.bind(metric_names_of(task)) is True
    read = made.value(epoch_of(task))
    assert isinstance(read, float)
    assert read == pytest.approx(value, rel=1e-12)
    assert made.mode == resolved


def test_a_function_cannot_change_the_record():
    def greedy(metrics):
        metrics["fitness"] = 1.0
        return 1.0

    monitor, record = bound("detect", greedy, "max"), epoch_of("detect")
    with pytest.raises(TypeError, match="does not support item assignment"):
        monitor.value(record)
    assert record.metrics["fitness"] == 0.5


def test_a_value_needs_the_names_of_the_run():
    with pytest.raises(RuntimeError, match=re.escape("Monitor.value needs Monitor.bind first")):
        Monitor("mAP50").value(epoch_of("detect"))


def test_a_monitor_can_go_from_one_run_to_another():
    monitor = Monitor()
    for task, value in (("detect", 0.54), ("classify", 0.9), ("segment", 0.14)):
        assert monitor.bind(metric_names_of(task))
        assert (monitor.mode, monitor.value(epoch_of(task))) == ("max", value)
        monitor.unbind()
        assert monitor.mode == "auto"
        with pytest.raises(RuntimeError, match=r"needs Monitor\.bind first"):
            monitor.value(epoch_of(task))


# Values that are missing, or no numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "monitor", "mode"),
    [
        ("detect", "mAP50-95/dog", "auto"),
        ("detect", "mAP50-95(B)/dog", "auto"),
        ("detect", {"mAP50": 1, "mAP50/dog": 1}, "auto"),
        ("detect", {"mAP50/dog": 0.5, "mAP50/car": 0.5}, "auto"),
        ("segment", "recall(M)/dog", "auto"),
        ("pose", "recall(P)/dog", "auto"),
    ],
)
def test_a_class_absent_from_the_validation_set_has_no_value(task, monitor, mode):
    assert bound(task, monitor, mode).value(epoch_of(task)) is None


@pytest.mark.parametrize(
    ("task", "monitor", "mode", "value"),
    [
        *((task, None, "auto", None) for task in TASKS),
        ("detect", "mAP50", "auto", None),
        ("detect", "metrics/recall(B)", "auto", None),
        ("detect", "fitness", "auto", None),
        ("detect", "val/box_loss", "auto", None),
        ("detect", "val/loss", "auto", None),
        ("classify", "val/loss", "auto", None),
        ("detect", "mAP50/car", "auto", None),
        ("detect", "min(mAP50)", "auto", None),
        ("detect", {"mAP50": 0.1, "mAP50-95": 0.9}, "auto", None),
        ("detect", {"train/box_loss": 1.0, "val/box_loss": 1.0}, "auto", None),
        ("detect", {"lr/pg0": 1.0, "mAP50": 1.0}, "max", None),
        ("detect", total, "max", None),
        ("detect", lambda metrics: metrics["metrics/mAP50(B)"], "max", None),
        # needs no validation
        ("detect", "train/box_loss", "auto", 1.5),
        ("detect", "train/loss", "auto", 4.5),
        ("classify", "train/loss", "auto", 1.25),
        ("detect", {"train/box_loss": 1.0, "train/dfl_loss": 2.0}, "auto", 3.0),
        ("detect", "lr/pg1", "min", 0.02),
    ],
)
def test_an_epoch_without_validation(task, monitor, mode, value):
    record = EpochRecord(epoch=2, epochs=3, metrics=TRAINING[task], names=NAMES, validated=False)
    assert bound(task, monitor, mode).value(record) == value


@pytest.mark.parametrize(
    ("monitor", "seen", "value"),
    [
        ("min(mAP50)", {0: 0.5, 1: 0.25, 4: 0.75}, 0.25),
        ("min(mAP50)", {1: 0.0}, 0.0),
        ("min(mAP50)", {}, None),
        ("min(mAP50)", {0: NAN, 1: 0.25}, NAN),
        ("min(mAP50)", {0: 0.25, 1: NAN}, NAN),
        ("min(mAP50)", {0: 0.25, 1: NAN, 2: 0.5}, NAN),
        ("mAP50/person", {0: NAN, 1: 0.25}, NAN),
        ("mAP50/car", {0: NAN, 1: 0.25}, 0.25),
        ("mAP50/car", {0: 0.5, 1: 0.0}, 0.0),
        ({"mAP50/car": 1, "mAP50/person": 1}, {0: NAN, 1: 0.25}, NAN),
    ],
)
def test_values_by_class(monitor, seen, value):
    read = bound("detect", monitor).value(epoch_of("detect", per_class={"mAP50(B)": seen}))
    assert read == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("monitor", "changes", "value"),
    [
        ("mAP50", {"metrics/mAP50(B)": NAN}, NAN),
        ("val/box_loss", {"val/box_loss": INF}, INF),
        ("val/loss", {"val/box_loss": INF}, INF),
        ("val/loss", {"val/box_loss": NAN}, NAN),
        ("train/loss", {"val/box_loss": NAN}, 4.5),
        ({"val/box_loss": 2, "val/cls_loss": 1}, {"val/box_loss": INF}, INF),
        ({"val/box_loss": 2, "val/cls_loss": -1}, {"val/cls_loss": INF}, -INF),
        ({"val/box_loss": 1, "val/cls_loss": -1}, {"val/box_loss": INF, "val/cls_loss": INF}, NAN),
        ({"val/box_loss": 1, "val/cls_loss": 1}, {"val/box_loss": INF, "val/cls_loss": NAN}, NAN),
        (total, {"fitness": NAN}, NAN),
    ],
)
def test_values_that_are_no_numbers(monitor, changes, value):
    read = bound("detect", monitor, "min").value(epoch_of("detect", **changes))
    assert read == pytest.approx(value, nan_ok=True)


def test_a_sum_lacks_a_term_that_the_epoch_lacks():
    record = epoch_of("detect")
    del record.metrics["val/dfl_loss"]
    assert bound("detect", "val/loss").value(record) is None
    assert bound("detect", {"val/box_loss": 1, "val/dfl_loss": 1}).value(record) is None
    assert bound("detect", {"val/box_loss": 1, "val/cls_loss": 1}).value(record) == 23.75


# mode="auto" ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "monitor"),
    [
        ("detect", "lr/pg0"),
        ("depth", "metrics/delta1"),
        ("depth", "metrics/rmse"),
        ("detect", {"mAP50": 1, "val/box_loss": 1}),
        ("detect", {"val/box_loss": 1, "mAP50": 1}),
        ("detect", {"mAP50": 1, "lr/pg0": 1}),
        ("detect", {"mAP50": 1, "recall": -0.5}),
        ("detect", {"val/box_loss": 1, "train/box_loss": -1}),
        ("detect", {"mAP50": -1}),
        ("detect", {"mAP50": 1, "val/box_loss": -1}),
    ],
)
def test_auto_cannot_decide(task, monitor):
    made = Monitor(monitor)
    match = re.escape(f"mode='auto' cannot decide whether a lower or a higher {made.name(task)!r} is better: set mode=")
    with pytest.raises(ValueError, match=match):
        made.bind(metric_names_of(task))
    assert Monitor(monitor, "max").bind(metric_names_of(task))
    assert Monitor(monitor, "min").bind(metric_names_of(task))


def test_a_second_look_does_not_take_it_for_checked():
    made = Monitor("lr/pg0")
    for _ in range(2):
        with pytest.raises(ValueError, match="mode='auto' cannot decide"):
            made.bind(metric_names_of("detect"))


def test_a_term_without_weight_does_not_change_the_mode():
    # Ultralytics' own fitness, written out
    fitness = bound("detect", {"precision": 0.0, "recall": 0.0, "mAP50": 0.1, "mAP50-95": 0.9})
    assert fitness.mode == "max"
    assert fitness.value(epoch_of("detect")) == pytest.approx(0.549)


# Monitors that do not exist -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "monitor", "meant"),
    [
        ("detect", "map50", "mAP50"),
        ("detect", "mAP50-96", "mAP50-95"),
        ("detect", "mAP_50", "mAP50"),
        ("detect", "precison", "precision"),
        ("detect", " recall", "recall"),
        ("detect", "Fitness", "fitness"),
        ("detect", "val/box_los", "val/box_loss"),
        ("detect", "train/bbox_loss", "train/box_loss"),
        ("detect", "val/losses", "val/loss"),
        ("detect", "metrics/mAP50(b)", "metrics/mAP50(B)"),
        ("detect", "lr/pg9", "lr/pg0|lr/pg1|lr/pg2"),
        ("detect", {"mAP50": 1, "recal": 1}, "recall"),
        ("obb", "val/angel_loss", "val/angle_loss"),
        ("segment", "mAP50-95(m)", "mAP50-95(M)"),
        ("pose", "val/pose_los", "val/pose_loss"),
        ("pose", "recall(M)", "recall(P)"),
        ("classify", "top_1", "top1"),
        ("classify", "accuracy_top5", "metrics/accuracy_top5"),
        ("depth", "metrics/rmsee", "metrics/rmse"),
        # not of this task, or nothing like it at all
        ("detect", "top1", None),
        ("detect", "mAP50(M)", None),
        ("classify", "mAP50", None),
        ("depth", "mAP50-95", None),
        ("classify", "min(top1)", None),
        ("classify", "recall/person", None),
        ("detect", "min(fitness)", None),
        ("detect", "fitness/person", None),
        ("detect", "@@@", None),
        ("detect", "/", None),
        ("detect", "val/", None),
        ("detect", {"": 1.0}, None),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "max"])
def test_an_unknown_name(task, monitor, meant, mode):
    with pytest.raises(ValueError, match=r"monitor '.*' does not exist in this run\.") as raised:
        Monitor(monitor, mode).bind(metric_names_of(task))
    message, _, listed = str(raised.value).partition(" Available: ")
    if meant:
        assert re.search(rf"Did you mean '({'|'.join(map(re.escape, meant.split('|')))})'\?$", message)
    available = listed.split(", ")
    short = [name.removeprefix("accuracy_").removesuffix("(B)") for name in METRICS[task] if task != "depth"]
    assert set(available) >= {*metric_names_of(task).all_keys, *short, "train/loss", "val/loss"}
    assert ("mAP50/<class>" in available) == (task in ("detect", "obb", "segment", "pose"))
    assert ("mAP50(M)/<class>" in available) == (task == "segment")
    assert len(available) == len(set(available))


@pytest.mark.parametrize("losses", [True, False])
@pytest.mark.parametrize(
    ("task", "monitor", "match"),
    [
        ("detect", "mAP50/persn", "has no class 'persn'. Did you mean 'mAP50/person'?"),
        ("detect", "mAP50/Person", "has no class 'Person'. Did you mean 'mAP50/person'?"),
        ("detect", "metrics/recall(B)/cra", "has no class 'cra'. Did you mean 'metrics/recall(B)/car'?"),
        ("detect", "recall/traffic light", "has no class 'traffic light'. Did you mean 'recall/traffic/light'?"),
        ("segment", "mAP50-95(M)/dogg", "has no class 'dogg'. Did you mean 'mAP50-95(M)/dog'?"),
        ("detect", {"mAP50": 1, "mAP50/persn": 1}, "has no class 'persn'. Did you mean 'mAP50/person'?"),
        ("detect", "mAP50/9", "has no class '9'."),
        ("detect", "mAP50/-1", "has no class '-1'."),
        ("detect", "mAP50/", "has no class ''."),
        ("detect", "mAP50/xyz", "has no class 'xyz'. Classes: 0: person, 1: car, 2: traffic/light, 3: dog, 4: 3"),
    ],
)
def test_an_unknown_class(task, monitor, match, losses):
    with pytest.raises(ValueError, match=re.escape(match)) as raised:
        Monitor(monitor).bind(metric_names_of(task, losses=losses))
    assert str(raised.value).endswith("Classes: 0: person, 1: car, 2: traffic/light, 3: dog, 4: 3")


# Losses that Ultralytics knows only after the first batch -------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "monitor", "value"),
    [
        ("detect", "val/box_loss", 11.5),
        ("detect", "train/dfl_loss", 0.75),
        ("detect", "val/loss", 34.5),
        ("classify", "val/loss", 11.25),
        ("depth", "train/grad_loss", 0.5),
        ("detect", {"val/box_loss": 1, "val/cls_loss": 1}, 23.75),
    ],
)
def test_a_loss_is_checked_when_losses_are_known(task, monitor, value):
    made = Monitor(monitor)
    assert made.bind(metric_names_of(task, losses=False)) is False
    with pytest.raises(RuntimeError, match=r"needs Monitor\.bind first"):
        made.value(epoch_of(task))
    assert made.bind(metric_names_of(task)) is True
    assert made.value(epoch_of(task)) == value
    assert made.mode == "min"


@pytest.mark.parametrize(
    ("monitor", "meant"),
    [
        ("val/box_los", "val/box_loss"),
        ("train/cls-loss", "train/cls_loss"),
        ("val/mAP50", "mAP50"),
        ({"val/box_loss": 1, "val/clss_loss": 1}, "val/cls_loss"),
    ],
)
def test_a_typo_in_a_loss_raises_when_losses_are_known(monitor, meant):
    made = Monitor(monitor)
    assert made.bind(metric_names_of("detect", losses=False)) is False
    with pytest.raises(ValueError, match=re.escape(f"does not exist in this run. Did you mean '{meant}'?")):
        made.bind(metric_names_of("detect"))


@pytest.mark.parametrize(
    ("monitor", "meant"),
    [
        ("mAP5", "mAP50"),
        ("fitnes", "fitness"),
        ({"val/box_loss": 1, "recal": 1}, "recall"),
        ({"recal": 1, "val/box_loss": 1}, "recall"),
    ],
)
def test_a_typo_in_a_metric_raises_while_losses_are_unknown(monitor, meant):
    with pytest.raises(ValueError, match=re.escape(f"does not exist in this run. Did you mean '{meant}'?")) as raised:
        Monitor(monitor).bind(metric_names_of("detect", losses=False))
    listed = str(raised.value).partition(" Available: ")[2]
    assert set(listed.split(", ")) >= {*metric_names_of("detect", losses=False).all_keys, "val/loss", "train/loss"}
    assert listed.endswith("and the losses by name, known after the first batch")


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [(None, "auto"), ("mAP50", "auto"), ("fitness", "auto"), ("lr/pg0", "min"), ("recall/car", "auto"), (total, "max")],
)
def test_what_is_no_loss_does_not_wait_for_losses(monitor, mode):
    assert Monitor(monitor, mode).bind(metric_names_of("detect", losses=False)) is True


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "task", "name"),
    [
        (None, "detect", "mAP50-95"),
        (None, "obb", "mAP50-95"),
        (None, "segment", "mAP50-95(M)"),
        (None, "pose", "mAP50-95(P)"),
        (None, "classify", "top1"),
        (None, "depth", "fitness"),
        ("mAP50", "detect", "mAP50"),
        ("metrics/mAP50(B)", "detect", "metrics/mAP50(B)"),
        ("val/loss", "classify", "val/loss"),
        ("mAP50/traffic/light", "detect", "mAP50/traffic/light"),
        ("min(mAP50-95)", "detect", "min(mAP50-95)"),
        ({"mAP50": 0.1, "mAP50-95": 0.9}, "detect", "0.1*mAP50+0.9*mAP50-95"),
        ({"mAP50": 2}, "detect", "2*mAP50"),
        ({"val/box_loss": 1.0, "train/box_loss": -0.5}, "detect", "1*val/box_loss+-0.5*train/box_loss"),
        (total, "detect", "total"),
        (lambda metrics: 0.0, "detect", "custom"),
        (functools.partial(total), "detect", "custom"),
        (Scored(), "detect", "custom"),
    ],
)
def test_name(monitor, task, name):
    mode = "max" if callable(monitor) else "auto"
    assert Monitor(monitor, mode).name(task) == name


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("map50", ["mAP50", "mAP50-95"], "mAP50"),
        ("persn", ["car", "person"], "person"),
        ("PERSON", ["person"], "person"),
        ("xyz", ["car", "person"], None),
        ("person", [], None),
    ],
)
def test_nearest(name, candidates, expected):
    assert nearest(name, candidates) == expected
