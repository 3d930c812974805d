"""What a launch refuses, and which GPU each of its processes uses."""

from __future__ import annotations

import pytest
import torch
from trainings import FAST, TINY
from ultralytics import YOLO

from yolo_callbacks import JsonlLogger, attach
from yolo_callbacks.trainer import launched_training
from yolo_callbacks.trainer.installation import installed_version
from yolo_callbacks.utils.launcher import Launch

LAUNCH = Launch(rank=3, local_rank=1, world_size=4, local_world_size=2)

needs_parse_device = pytest.mark.skipif(installed_version() < (8, 4, 190), reason="needs Ultralytics 8.4.190")


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


@needs_parse_device
@pytest.mark.parametrize(
    ("device", "gpus"),
    [(None, (0, 1)), ("0,1", (0, 1)), ("2,3", (2, 3)), ([3, 1], (3, 1)), ("cuda:0,1", (0, 1)), ("cpu", ())],
)
def test_each_process_of_a_node_has_a_gpu(four_gpus, device, gpus):
    assert launched_training._gpus(device, LAUNCH) == gpus


@needs_parse_device
@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("0", "has started 2 process.es. on this node, but device=0 names 1"),
        ("0,1,2,3", "has started 2 process.es. on this node, but device=0,1,2,3 names 4"),
        ("1,1", "device=1,1 names 2: start one process for each GPU"),
        ("0,4", "this process sees 4 GPU.s."),
        ("-1,-1", "name the GPUs, since each process would choose one"),
        ("mps", "uses NVIDIA GPUs or the CPU"),
        ("npu:0,1", "uses NVIDIA GPUs or the CPU"),
    ],
)
def test_processes_and_devices_that_do_not_fit_are_refused(four_gpus, device, said):
    with pytest.raises(ValueError, match=said):
        launched_training._gpus(device, LAUNCH)


@needs_parse_device
def test_a_task_that_sees_its_own_gpu_only_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"this process sees 1 GPU.s.: .* let each process see all GPUs of its node"):
        launched_training._gpus(None, LAUNCH)


@needs_parse_device
def test_without_a_gpu_the_processes_use_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert launched_training._gpus(None, LAUNCH) == ()


def test_each_process_needs_an_image():
    launched_training._check_batch(4, LAUNCH)
    for batch in (3, -1, 0.6):
        with pytest.raises(ValueError, match=f"batch={batch} is the batch of all 4 processes together"):
            launched_training._check_batch(batch, LAUNCH)


def test_an_older_ultralytics_is_refused(monkeypatch):
    monkeypatch.setattr(launched_training, "installed_version", lambda: (8, 4, 100))
    with pytest.raises(ValueError, match=r"needs ultralytics 8\.4\.190 or newer, found 8\.4\.100"):
        launched_training.train_in_launch(LAUNCH)
    assert launched_training._launches == []


def test_a_list_of_data_sets_is_refused(monkeypatch):
    monkeypatch.setattr(launched_training, "_launches", [LAUNCH])
    with pytest.raises(ValueError, match="trains on one data set"):
        launched_training.prepare_launch(YOLO(TINY), {"data": ["a.yaml", "b.yaml"]})


@pytest.mark.parametrize(("device", "count"), [("cpu", 0), ("mps", 0), ("0", 1), (None, 1), ([0, 1, 2], 3)])
def test_a_script_whose_loss_would_be_wrong_is_refused(monkeypatch, tmp_path, device, count):
    monkeypatch.setattr("ultralytics.utils.RANK", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    model = YOLO(TINY)
    attach(model, JsonlLogger())
    said = f"a launcher has started 2 process.es., but Ultralytics counts {count} from device=.* the loss by {count}:"
    with pytest.raises(ValueError, match=said):
        model.train(**{**FAST, "device": device}, data="none.yaml", project=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [{"device": "0,1"}, {"device": [0, 1]}, {"device": "cpu", "trainer": object}])
def test_a_script_whose_processes_fit_is_left_alone(monkeypatch, arguments):
    monkeypatch.setattr("ultralytics.utils.RANK", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    before = dict(arguments)
    launched_training.prepare_launch(YOLO(TINY), arguments)
    assert arguments == before
