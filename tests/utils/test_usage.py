"""How busy the cores and the accelerator are."""

from __future__ import annotations

import threading
import time

import pytest

from yolo_callbacks.utils import usage
from yolo_callbacks.utils.usage import AcceleratorUse, available_cores, processor_seconds


def test_the_processor_time_grows_with_work():
    before = processor_seconds()
    while processor_seconds() == before:
        sum(range(100_000))
    assert processor_seconds() > before


def test_the_mean_since_the_last_reading():
    values, done = iter([10.0, 30.0]), threading.Event()

    def read(device: object) -> float:
        try:
            return next(values)
        except StopIteration:
            done.set()
            raise OSError from None

    use = AcceleratorUse("a device", every=0.001, read=read)
    done.wait(10)
    assert use.take() == 0.2
    assert use.take() is None


def test_a_device_that_cannot_be_read_ends_the_thread():
    asked = []

    def read(device: object) -> float:
        asked.append(device)
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    before = set(threading.enumerate())
    use = AcceleratorUse("a device", every=0.001, read=read)
    started = set(threading.enumerate()) - before
    for thread in started:
        thread.join(10)
    assert asked == ["a device"] * 3
    assert use.take() is None


def test_nothing_is_read_after_the_end():
    asked = []
    use = AcceleratorUse("a device", every=0.05, read=lambda device: asked.append(device) or 1.0)
    use.close()
    time.sleep(0.1)
    assert asked == []


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 1), ("1 100000", 1), ("max 100000", 8), ("9900000 100000", 8), (None, 8)],
)
def test_the_cores_of_a_container(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr(usage.os, "sched_getaffinity", lambda process: range(8), raising=False)
    monkeypatch.setattr(usage, "_QUOTA", tmp_path / "cpu.max")
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert available_cores() == cores
