"""Log scalars in a record: a wrong key or value raises in the callback that logs it, not in a logger."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, JsonlLogger, TensorBoardLogger, TrainingRun, WandbLogger, attach
from yolo_callbacks.metrics.epoch_record import EpochRecord


def record() -> EpochRecord:
    return EpochRecord(1, 2, {"metrics/mAP50(B)": 0.5})


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (True, 1.0),
        (Decimal("1.5"), 1.5),
        (np.float32(1.5), 1.5),
        (np.array([1.5]), 1.5),
        (np.array(1.5), 1.5),
        (torch.tensor(1.5), 1.5),
        (torch.tensor([[1.5]], requires_grad=True), 1.5),
        (float("inf"), math.inf),
    ],
)
def test_numbers(value, number):
    epoch = record()
    epoch.log("own/value", value)
    assert epoch.scalars == {"own/value": number}
    assert type(epoch.scalars["own/value"]) is float


def test_not_a_number_is_one():
    epoch = record()
    epoch.log("own/value", float("nan"))
    assert math.isnan(epoch.scalars["own/value"])


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("0.5", TypeError),
        (b"1", TypeError),
        (None, TypeError),
        (1j, TypeError),
        ([0.5], TypeError),
        ({"a": 1}, TypeError),
        (object(), TypeError),
        (10**400, ValueError),
        (np.zeros(2), ValueError),
        (np.array([]), ValueError),
        (torch.zeros(3), ValueError),
        (torch.zeros(0), ValueError),
    ],
)
def test_what_is_no_number(value, error):
    epoch = record()
    with pytest.raises(error, match="the value of 'own/value' must "):
        epoch.log("own/value", value)
    assert epoch.scalars == {}


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (3, TypeError),
        (None, TypeError),
        (("a", "b"), TypeError),
        (b"a", TypeError),
        ("", ValueError),
        (" \t", ValueError),
        ("epoch", ValueError),
        ("\udcff", ValueError),
        ("metrics/mAP50(B)", ValueError),
    ],
)
def test_what_is_no_key(key, error):
    epoch = record()
    with pytest.raises(error):
        epoch.log(key, 1.0)
    assert epoch.scalars == {}


class Careless(Callback):
    """Publishes things that are no scalars."""

    def on_fit_epoch_end(self, trainer: Any) -> None:
        epoch = TrainingRun.of(trainer).record()
        if not epoch.final:
            epoch.log("careless/right", 1.0)
            epoch.log("careless/wrong", torch.zeros(2))


def test_a_wrong_scalar_costs_its_author_only(train, scripted, monkeypatch, messages):
    monkeypatch.setenv("WANDB_MODE", "offline")
    scripted([0.1, 0.2, 0.2])
    model = YOLO(TINY)
    attach(model, Careless(), JsonlLogger(), TensorBoardLogger(), WandbLogger(images=0, log_model=False))
    folder = train(model, epochs=2)
    rows = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert [(row.get("epoch"), row.get("careless/right")) for row in rows] == [(1, 1.0), (2, 1.0), (None, None)]
    rows = json.loads((folder / "callbacks.json").read_text())["summary"]["callbacks"]
    assert {row["name"]: row["failures"] for row in rows if row["failures"]} == {"Careless": 2}
    assert [message for message in messages if "must be one number, received 2 in a Tensor" in message]


class Stopping(Callback):
    """Stops with wrong arguments."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        run.stop(*(record if each is EpochRecord else each for each in self.arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["it is enough"], r"record must be an EpochRecord, received 'it is enough': call run\.stop\(record, reason\)"),
        ([EpochRecord, 3], "reason must be a string, received 3"),
    ],
)
def test_a_stop_needs_the_record_and_a_text(train, scripted, arguments, message):
    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, Stopping(*arguments), strict=True)
    with pytest.raises(TypeError, match=message):
        train(model, epochs=2)
