"""Train for some steps with a learning rate that rises, and note the loss at each rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from yolo_callbacks.decisions.range_test import RangeTest, rate_at

__all__ = ["RangeTraining", "run_range_test"]


class _RangeTestOver(Exception):  # noqa: N818 (it is no error: it leaves Ultralytics' loop)
    """The range test is over."""


@dataclass
class RangeTraining:
    """A training whose learning rate rises from step to step.

    Args:
        first: The first rate.
        last: The last rate.
        steps: The number of steps of the optimizer.
        on_step: Called after each step with its number from 1, its rate and its loss.

    Attributes:
        test: The rates and losses.
        optimizer: The name of the optimizer; empty before the first step.
    """

    first: float
    last: float
    steps: int
    on_step: Callable[[int, float, float], None]
    test: RangeTest = field(default_factory=RangeTest)
    optimizer: str = ""
    _batches: int = 0
    _losses: list[float] = field(default_factory=list)

    @property
    def _rate(self) -> float:
        return rate_at(len(self.test.rates), first=self.first, last=self.last, steps=self.steps)

    def start(self, trainer: Any) -> None:
        """Let the training have as many epochs as the test needs; the optimizer is made for those of the user."""
        self.optimizer = type(trainer.optimizer).__name__
        trainer.epochs = trainer.args.epochs = self.steps * max(int(trainer.accumulate), 1) + 1

    def set_rate(self, trainer: Any) -> None:
        """Write the rate of the step before each batch. Parameter groups keep their ratio, such as those of MuSGD."""
        groups = trainer.optimizer.param_groups
        base = min(group["initial_lr"] for group in groups)
        for group in groups:
            group["lr"] = self._rate * group["initial_lr"] / base

    def note_loss(self, trainer: Any) -> None:
        """Note the loss of a batch, and end with the last batch of the last step."""
        self._losses.append(_loss(trainer.loss_items))
        self._batches += 1
        if self._batches % max(int(trainer.accumulate), 1):
            return
        rate, loss = self._rate, sum(self._losses) / len(self._losses)
        self._losses.clear()
        goes_on = self.test.add(rate, loss)
        self.on_step(len(self.test.rates), rate, loss)
        if not goes_on or len(self.test.rates) == self.steps:
            raise _RangeTestOver


def run_range_test(training: RangeTraining, train: Callable[[], None]) -> None:
    """Run a range test inside a training of Ultralytics, without any other callback.

    Args:
        training: The range test.
        train: Trains a model that it makes, in this process, without a warm-up.
    """
    from ultralytics.utils.callbacks import base

    def keep_alone(trainer: Any) -> None:
        # The integrations of Ultralytics would write runs and files of their own.
        for event, functions in trainer.callbacks.items():
            functions[:] = [function for function in functions if function is added.get(event)]

    # functions, not bound methods: Ultralytics copies its default callbacks, with the objects of methods
    added: dict[str, Callable[[Any], None]] = {
        "on_pretrain_routine_start": keep_alone,
        "on_train_start": lambda trainer: training.start(trainer),  # noqa: PLW0108
        "on_train_batch_start": lambda trainer: training.set_rate(trainer),  # noqa: PLW0108
        "on_train_batch_end": lambda trainer: training.note_loss(trainer),  # noqa: PLW0108
    }
    for event, function in added.items():
        base.default_callbacks[event].insert(0, function)
    try:
        train()
    except _RangeTestOver:
        return
    finally:
        for event, function in added.items():
            base.default_callbacks[event].remove(function)


def _loss(items: Any) -> float:
    """Return the sum of the components of a loss: a dict from 8.4.104 on, a tensor before."""
    return float(sum(items.values()) if isinstance(items, dict) else items.sum())
