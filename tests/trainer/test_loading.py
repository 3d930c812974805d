"""What is known of the loader of the training images."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from yolo_callbacks.trainer import loading
from yolo_callbacks.trainer.loading import cores_of_rank, describe_loading, images_in


class Loader:
    def __init__(self, images: int, batch: int, workers: int = 2, **dataset: Any) -> None:
        self.dataset = type("Dataset", (), {"__len__": lambda self: images, **dataset})()
        self.batch_size, self.num_workers, self._length = batch, workers, -(-images // batch)

    def __len__(self) -> int:
        return self._length


def trainer(loader: Any, *, ranks: int = 0, task: str = "detect", imgsz: int = 640, batch: int = 4) -> Any:
    arguments = SimpleNamespace(task=task, imgsz=imgsz, mosaic=1.0)
    return SimpleNamespace(train_loader=loader, world_size=ranks, batch_size=batch, args=arguments)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(loading, "available_cores", lambda: 8)
    monkeypatch.setattr(loading, "host_available", lambda: (1000, 2000))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


@pytest.mark.parametrize(
    ("images", "batch", "ranks", "batches", "expected"),
    [(10, 4, 0, 3, 10), (10, 4, 0, 2, 8), (12, 4, 0, 3, 12), (10, 4, 0, 0, 0), (40, 4, 2, 3, 24), (40, 4, 2, 10, 40)],
)
def test_the_images_of_the_batches(images, batch, ranks, batches, expected):
    assert images_in(trainer(Loader(images, batch), ranks=ranks), batches) == expected


def test_a_loader_without_a_batch_size_has_that_of_the_trainer():
    loader = Loader(100, 4)
    loader.batch_size = None
    assert images_in(trainer(loader, ranks=2, batch=8), 3) == 24


def test_a_loader_of_the_users_own_that_says_nothing():
    assert images_in(trainer(iter([])), 3) == 0
    assert describe_loading(trainer(iter([])), 0.5, mosaic=True) is None


def test_the_ranks_of_a_machine_share_its_cores(monkeypatch):
    assert cores_of_rank(trainer(Loader(8, 4))) == 8
    assert cores_of_rank(trainer(Loader(8, 4), ranks=4)) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # two machines
    assert cores_of_rank(trainer(Loader(8, 4), ranks=4)) == 4


@pytest.mark.parametrize(
    ("loader", "options", "expected"),
    [
        (Loader(100, 4), {}, (2, 8, "", 3 * 640**2 * 100, True)),
        (Loader(12, 4), {}, (2, 3, "", 3 * 640**2 * 12, True)),  # no more workers than batches
        (Loader(4, 4, workers=0), {}, (0, 0, "", 3 * 640**2 * 4, True)),
        (Loader(100, 4, cache="ram"), {"ranks": 2}, (2, 4, "ram", 2 * 3 * 640**2 * 100, True)),
        (Loader(100, 4, cache=True), {}, (2, 8, "ram", 3 * 640**2 * 100, True)),
        (Loader(100, 4, cache="disk"), {"imgsz": 32}, (2, 8, "disk", 3 * 32**2 * 100, True)),
        (Loader(100, 4, cache_disk=True, cache_ram=False), {"task": "classify"}, (2, 8, "disk", 0, False)),
    ],
)
def test_how_the_images_are_loaded(loader, options, expected):
    found = describe_loading(trainer(loader, **options), 0.5, mosaic=True)
    assert (found.workers, found.most_workers, found.cached, found.cache_bytes, found.mosaic) == expected
    assert (found.busy, found.free_bytes) == (0.5, 1000)


@pytest.mark.parametrize(("device", "workers", "most"), [("cpu", 0, 0), ("mps", 0, 0), ("cpu", 1, 8), ("cuda", 0, 8)])
def test_no_workers_are_advised_where_ultralytics_has_none(device, workers, most):
    made = trainer(Loader(100, 4, workers=workers))
    made.device = SimpleNamespace(type=device)
    found = describe_loading(made, 0.5, mosaic=True)
    assert found is not None
    assert found.most_workers == most
