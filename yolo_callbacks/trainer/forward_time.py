"""Measure the forward passes of a rank, which exchange nothing with other ranks."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import Any

__all__ = ["ForwardTime"]


class ForwardTime:
    """Measure how long the forward passes of a model take on this rank, until `close`.

    The ranks exchange gradients while they go backward, where the fast ones wait for the slow one: so only the forward
    pass is the time of the rank itself. On CUDA the device notes the moments, in events that are read once they are
    complete: the host never waits for the device.

    Args:
        model: The model that the trainer calls.
        device: Its `torch.device`.
    """

    def __init__(self, model: Any, device: Any) -> None:
        self._of_device = device.type == "cuda"
        self._seconds = self._start = 0.0
        self._open: Any = None
        self._pending: deque[tuple[Any, Any]] = deque()
        self._hooks = [model.register_forward_pre_hook(self._before), model.register_forward_hook(self._after)]

    def take(self) -> float:
        """Return the seconds since the last call."""
        self._collect()
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def close(self) -> None:
        """Remove the hooks from the model."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._pending.clear()

    def _before(self, model: Any, inputs: Any) -> None:
        if not model.training:
            return
        if self._of_device:
            self._open = self._event()
        self._start = perf_counter()

    def _after(self, model: Any, inputs: Any, output: Any) -> None:
        if not model.training:
            return
        if self._of_device:
            self._pending.append((self._open, self._event()))
            self._collect()
        else:
            self._seconds += perf_counter() - self._start

    def _event(self) -> Any:
        import torch

        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _collect(self) -> None:
        """Add the passes that the device has completed; `query` does not wait."""
        while self._pending and self._pending[0][1].query():
            start, end = self._pending.popleft()
            self._seconds += start.elapsed_time(end) / 1000
