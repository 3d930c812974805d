"""A stand-in for an accelerator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from yolo_callbacks.utils.memory import GIB, accelerator_of


class FakeBackend:
    """What `torch.cuda`, `torch.xpu` and `torch.npu` offer; every call is noted."""

    def __init__(self, allocated: int = GIB, reserved: int = 6 * GIB, capacity: int = 8 * GIB) -> None:
        self.in_use, self.taken, self.capacity, self.calls = allocated, reserved, capacity, []

    def memory_allocated(self, device: Any) -> int:
        return self.in_use

    def memory_reserved(self, device: Any) -> int:
        return self.taken

    def max_memory_allocated(self, device: Any) -> int:
        return 2 * self.in_use

    def reset_peak_memory_stats(self, device: Any) -> None:
        self.calls.append("reset_peak")

    def get_device_properties(self, device: Any) -> Any:
        return SimpleNamespace(total_memory=self.capacity)

    def empty_cache(self) -> None:
        self.calls.append("empty_cache")
        self.taken = self.in_use

    def memory_summary(self, device: Any) -> str:
        return "a table"


@pytest.fixture
def fake_device(monkeypatch):
    """An accelerator in the place of the CPU for the memory callbacks; the training stays on the CPU."""
    backend, device = FakeBackend(), SimpleNamespace(type="faked")
    monkeypatch.setattr("torch.faked", backend, raising=False)
    for module in ("memory_cleanup", "memory_monitor"):
        monkeypatch.setattr(f"yolo_callbacks.callbacks.{module}.accelerator_of", lambda _: accelerator_of(device))
    return backend
