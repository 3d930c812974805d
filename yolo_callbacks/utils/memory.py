"""Memory of the accelerator and of the host: what is in use, and how to give back what is not. All in bytes."""

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

# What an error says when memory ran out; Ultralytics takes the last three for it too, from 8.4.103 at the latest.
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
        # not kept: a module can be neither copied nor pickled, a callback that holds it must be
        import torch

        return getattr(torch, self.device.type)

    def allocated(self) -> int:
        """Bytes in tensors."""
        return int(self._backend.memory_allocated(self.device))

    def reserved(self) -> int:
        """Bytes taken from the device, the cache of freed tensors included."""
        return int(self._backend.memory_reserved(self.device))

    def peak(self) -> int | None:
        """The most bytes in tensors since `reset_peak`; None where the device does not count them."""
        return int(self._backend.max_memory_allocated(self.device))

    def reset_peak(self) -> None:
        """Count the peak from now on."""
        self._backend.reset_peak_memory_stats(self.device)

    def capacity(self) -> int:
        """Bytes of the device."""
        return int(self._backend.get_device_properties(self.device).total_memory)

    def empty_cache(self) -> None:
        """Give the cache of freed tensors back to the device."""
        self._backend.empty_cache()

    def summary(self) -> str | None:
        """Torch's own table, None where it has none for this device."""
        function = getattr(self._backend, "memory_summary", None)
        return str(function(self.device)) if function else None

    def record_history(self, *, on: bool) -> None:
        """Let torch remember each allocation with its stack; CUDA only."""
        if self.device.type == "cuda":
            self._backend.memory._record_memory_history(**({"max_entries": 100_000} if on else {"enabled": None}))

    def dump_history(self, path: Path) -> bool:
        """Write what `record_history` made torch remember, for https://pytorch.org/memory_viz; whether it could."""
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
    """The memory of a `torch.device`; None for the CPU, and for a device whose torch module does not tell of it."""
    import torch

    if device.type == "mps":
        return _Mps(device)
    backend = getattr(torch, device.type, None)
    if device.type == "cpu" or not hasattr(backend, "memory_reserved"):
        return None
    return Accelerator(device)


def host_in_use() -> int:
    """Bytes of this process that are in the machine's memory."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def workers() -> int:
    """Bytes of the processes that this one has started, a loader's workers; pages shared with it are counted again."""
    import psutil

    total = 0
    for process in multiprocessing.active_children():
        try:
            total += psutil.Process(process.pid).memory_info().rss
        except psutil.Error:  # has ended meanwhile
            continue
    return total


def host_available() -> tuple[int, int]:
    """Bytes that can still be had, and how many there are: of the machine, or of the container that limits them."""
    import psutil

    machine = psutil.virtual_memory()
    available, total = int(machine.available), int(machine.total)
    limit = _cgroup("memory.max")
    if limit is not None and limit < total:
        # pages of files are given up before the limit is hit
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
    """Give the pages that the C library keeps back to the system; whether it can (glibc, so on most Linux)."""
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    return True


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory ran out, of the accelerator or of the host."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(known.lower() in text for known in _TEXTS)
