"""Measure and release the memory of the accelerator and of the host, in bytes."""

from __future__ import annotations

import ctypes
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = [
    "GIB",
    "Accelerator",
    "accelerator_of",
    "host_available",
    "host_in_use",
    "is_out_of_memory",
    "trim_host",
    "workers",
]

GIB = 2**30

# Texts of out-of-memory errors. Ultralytics treats the last three as such too, from 8.4.103 at the latest.
_TEXTS = (
    "out of memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "unable to find an engine",
)

_CGROUP = Path("/sys/fs/cgroup")


class Accelerator:
    """The memory of a CUDA, XPU or NPU device, whose torch modules offer the same functions.

    Args:
        device: The `torch.device`.
    """

    def __init__(self, device: Any) -> None:
        self.device = device

    @property
    def _backend(self) -> Any:
        # Not stored: a module can be neither copied nor pickled, but a callback that holds this object must be.
        import torch

        return getattr(torch, self.device.type)

    def allocated(self) -> int:
        """Return the bytes in tensors."""
        return int(self._backend.memory_allocated(self.device))

    def reserved(self) -> int:
        """Return the bytes taken from the device, including the cache of freed tensors."""
        return int(self._backend.memory_reserved(self.device))

    def peak(self) -> int | None:
        """Return the most bytes in tensors since `reset_peak`, or None if the device does not count them."""
        return int(self._backend.max_memory_allocated(self.device))

    def reset_peak(self) -> None:
        """Restart the measurement of the peak."""
        self._backend.reset_peak_memory_stats(self.device)

    def capacity(self) -> int:
        """Return the bytes of the device."""
        return int(self._backend.get_device_properties(self.device).total_memory)

    def empty_cache(self) -> None:
        """Return the cache of freed tensors to the device."""
        self._backend.empty_cache()

    def summary(self) -> str | None:
        """Return torch's memory table, or None if torch has none for this device."""
        function = getattr(self._backend, "memory_summary", None)
        return str(function(self.device)) if function else None

    def record_history(self, *, on: bool) -> None:
        """Start or stop recording each allocation with its stack; CUDA only."""
        if self.device.type == "cuda":
            self._backend.memory._record_memory_history(**({"max_entries": 100_000} if on else {"enabled": None}))

    def dump_history(self, path: Path) -> bool:
        """Write the recorded allocations for https://pytorch.org/memory_viz; return False if not on CUDA."""
        if self.device.type != "cuda":
            return False
        self._backend.memory._dump_snapshot(str(path))
        return True


class _Mps(Accelerator):
    """Apple's GPU, which shares the host's memory and counts no peak."""

    def allocated(self) -> int:
        return int(self._backend.current_allocated_memory())

    def reserved(self) -> int:
        return int(self._backend.driver_allocated_memory())

    def peak(self) -> int | None:
        return None

    def reset_peak(self) -> None:
        pass

    def capacity(self) -> int:
        recommended: Callable[[], int] | None = getattr(self._backend, "recommended_max_memory", None)  # torch 2.5
        return int(recommended()) if recommended else host_available()[1]


def accelerator_of(device: Any) -> Accelerator | None:
    """Return the memory of a `torch.device`, or None for the CPU and for devices that do not report it."""
    import torch

    if device.type == "mps":
        return _Mps(device)
    backend = getattr(torch, device.type, None)
    if device.type == "cpu" or not hasattr(backend, "memory_reserved"):
        return None
    return Accelerator(device)


def host_in_use() -> int:
    """Return the bytes of this process in the machine's memory."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def workers() -> int:
    """Return the bytes of the child processes, such as the workers of a data loader.

    Pages that a child shares with this process are counted again.
    """
    import psutil

    total = 0
    for process in multiprocessing.active_children():
        try:
            total += psutil.Process(process.pid).memory_info().rss
        except psutil.Error:  # the process has ended
            continue
    return total


def host_available() -> tuple[int, int]:
    """Return the available and the total bytes of the machine, or of the container that limits them."""
    import psutil

    machine = psutil.virtual_memory()
    available, total = int(machine.available), int(machine.total)
    limit = _cgroup("memory.max")
    if limit is not None and limit < total:
        # The system frees the pages of files before the limit is reached.
        used = (_cgroup("memory.current") or 0) - _cgroup_file_pages()
        available, total = min(available, max(limit - used, 0)), limit
    return available, total


def _cgroup(name: str) -> int | None:
    try:
        return int((_CGROUP / name).read_text())
    except (OSError, ValueError):  # no container, version 1, or "max": no limit
        return None


def _cgroup_file_pages() -> int:
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)


def trim_host() -> bool:
    """Return the free pages of the C library to the system; return whether it can (glibc, so on most Linux)."""
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    return True


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error says that the accelerator or the host has run out of memory."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(known.lower() in text for known in _TEXTS)
