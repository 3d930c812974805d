"""Read how much memory this process uses now."""

from __future__ import annotations

from yolo_callbacks.utils.memory import GIB, Accelerator, host_available, host_in_use, workers

__all__ = ["read_memory"]


def read_memory(accelerator: Accelerator | None) -> dict[str, float]:
    """Return the memory in use, in GiB, by the names under which `MemoryMonitor` logs it.

    Args:
        accelerator: The device of the training, None for the CPU.
    """
    reading: dict[str, float] = {}
    if accelerator:
        reserved, capacity, peak = accelerator.reserved(), accelerator.capacity(), accelerator.peak()
        reading = {"allocated": accelerator.allocated() / GIB, "reserved": reserved / GIB}
        if peak is not None:
            reading["peak"] = peak / GIB
        if capacity:
            reading["share"] = reserved / capacity
    host = {"process": host_in_use(), "workers": workers(), "available": host_available()[0]}
    return {**reading, **{f"host_{name}": value / GIB for name, value in host.items()}}
