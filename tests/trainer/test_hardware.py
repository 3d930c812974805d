"""The description of the machine and the training, which `callbacks.json` has for the report."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from yolo_callbacks.trainer.hardware import describe_hardware
from yolo_callbacks.trainer.run_description import describe_training
from yolo_callbacks.utils.memory import GIB


def test_the_machine_of_a_training_on_the_cpu():
    found = describe_hardware(SimpleNamespace(device=torch.device("cpu"), world_size=0))
    assert (found["device"], found["processes"]) == ("cpu", 1)
    assert found["cores"] > 0
    assert found["host_memory"] > GIB // 4
    assert found["cpu"]
    assert found["system"]
    assert not {"device_name", "device_memory"} & set(found)


def test_the_name_and_the_memory_of_the_accelerator(monkeypatch):
    properties = SimpleNamespace(name="Test GPU", total_memory=8 * GIB)
    backend = SimpleNamespace(get_device_properties=lambda device: properties, memory_reserved=lambda device: 0)
    monkeypatch.setattr("torch.faked", backend, raising=False)
    found = describe_hardware(SimpleNamespace(device=SimpleNamespace(type="faked"), world_size=2))
    values = found["device"], found["device_name"], found["device_memory"], found["processes"]
    assert values == ("faked", "Test GPU", 8 * GIB, 2)


@pytest.mark.parametrize("missing", ["train_loader", "optimizer", "batch_size", "device"])
def test_what_a_trainer_of_the_user_lacks_is_left_out(missing):
    labels = [{"cls": [0, 1]}, {"cls": [0]}]
    loader = SimpleNamespace(dataset=SimpleNamespace(labels=labels))
    trainer: Any = SimpleNamespace(
        device=torch.device("cpu"),
        world_size=1,
        train_loader=loader,
        test_loader=loader,
        optimizer=torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.25),
        batch_size=4,
    )
    delattr(trainer, missing)
    run: Any = SimpleNamespace(trainer=trainer, names={0: "a", 1: "b"})
    if missing != "batch_size":
        run.batch_size = 4
    found = describe_training(run)
    size = {"images": 2, "boxes": 3}
    expected = {
        "dataset": {"classes": 2, "train": size, "val": size},
        "optimizer": {"name": "SGD", "rates": [0.25]},
        "batch": 4,
    }
    lost = {"train_loader": "dataset", "optimizer": "optimizer", "batch_size": "batch"}.get(missing)
    assert {name: found.get(name) for name in expected} == {**expected, **({lost: None} if lost else {})}
    assert ("device" in found["hardware"]) == (missing != "device")
