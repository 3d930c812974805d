"""Measure how busy the cores and the accelerator are."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["AcceleratorUse", "available_cores", "processor_seconds"]

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # as `docker run --cpus` and the limits of Kubernetes set it
_EVERY = 5.0  # seconds
_MOST_ERRORS = 3


def available_cores() -> int:
    """Return how many cores this process may use: those of the machine, of its affinity, or of its container."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = (int(part) for part in _QUOTA.read_text().split())
    except (OSError, ValueError):  # no container, version 1, or "max": no limit
        return cores
    return max(min(cores, quota // max(period, 1)), 1)


def processor_seconds() -> float:
    """Return the seconds of processor time that this process and its children, such as loader workers, have used."""
    import psutil

    own = psutil.Process().cpu_times()
    total = float(own.user + own.system)
    for process in multiprocessing.active_children():
        try:
            times = psutil.Process(process.pid).cpu_times()
        except psutil.Error:  # the process has ended
            continue
        total += times.user + times.system
    return total


class AcceleratorUse:
    """Read how busy a GPU is, once every few seconds in a thread of its own, until `close`.

    The driver answers; the device is not synchronised. The thread ends by itself where nothing can be read.

    Args:
        device: The `torch.device`.
        every: The seconds between two readings. Defaults to `5.0`.
        read: Returns the percentage of a device. Defaults to `None`, which is `torch.cuda.utilization`.
    """

    def __init__(self, device: Any, *, every: float = _EVERY, read: Callable[[Any], float] | None = None) -> None:
        self._device, self._every, self._read = device, every, read or _utilization
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sum, self._count = 0.0, 0
        threading.Thread(target=self._work, name="yolo-callbacks-speed", daemon=True).start()

    def take(self) -> float | None:
        """Return the mean share, from 0 to 1, since the last call; None where nothing was read since then."""
        with self._lock:
            mean = self._sum / self._count / 100 if self._count else None
            self._sum, self._count = 0.0, 0
        return mean

    def close(self) -> None:
        """Let the thread end. It is not waited for: a driver may hang."""
        self._closed.set()

    def _work(self) -> None:
        errors = 0
        while errors < _MOST_ERRORS and not self._closed.wait(self._every):
            try:
                percent = float(self._read(self._device))
            except Exception:  # no nvidia-ml-py, no driver, a container without rights
                errors += 1
                continue
            errors = 0
            with self._lock:
                self._sum, self._count = self._sum + percent, self._count + 1


def _utilization(device: Any) -> float:
    import torch

    return float(torch.cuda.utilization(device))
