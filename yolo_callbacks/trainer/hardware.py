"""Describe the machine of a training for its report: devices, processor, memory and system. No name of the host."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolo_callbacks.utils.memory import accelerator_of, host_available

__all__ = ["describe_hardware"]

_CPU_INFO = Path("/proc/cpuinfo")


def describe_hardware(trainer: Any) -> dict[str, Any]:
    """Return what is known of the machine of a training. What cannot be read is left out; nothing raises.

    The values are `device` (its type), `device_name`, `device_memory` in bytes, `processes`, `cpu`, `cores`,
    `host_memory` in bytes, and `system`.
    """
    readers: dict[str, Callable[[], Any]] = {
        "device": lambda: str(trainer.device.type),
        "device_name": lambda: _device_name(trainer.device),
        "device_memory": lambda: _device_memory(trainer.device),
        "processes": lambda: max(int(trainer.world_size), 1),
        "cpu": _cpu,
        "cores": _cores,
        "host_memory": lambda: host_available()[1],
        "system": _system,
    }
    found: dict[str, Any] = {}
    for name, read in readers.items():
        with contextlib.suppress(Exception):  # a driver or a trainer of the user may raise any type
            found[name] = read()
    return {name: value for name, value in found.items() if value}


def _device_name(device: Any) -> str:
    import torch

    if device.type in ("cpu", "mps"):
        return ""
    return str(getattr(torch, device.type).get_device_properties(device).name)


def _device_memory(device: Any) -> int:
    accelerator = accelerator_of(device)
    return accelerator.capacity() if accelerator else 0


def _cpu() -> str:
    """Return the name of the processor. `platform.processor` would start a process on Linux."""
    if _CPU_INFO.is_file():
        named = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(encoding="utf-8"), re.MULTILINE)
        return named[1].strip() if named else platform.machine()
    return os.environ.get("PROCESSOR_IDENTIFIER", "") or platform.machine()


def _cores() -> int:
    """Return the number of logical cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 0


def _system() -> str:
    kernel = f"{platform.system()} {platform.release()}"
    with contextlib.suppress(OSError):
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    return kernel
