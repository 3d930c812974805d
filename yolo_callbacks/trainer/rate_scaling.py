"""Multiply the learning rate of a training by factors, whatever scheduler it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from yolo_callbacks.decisions.plateau import RateReduction
from yolo_callbacks.trainer.distributed import process_rank
from yolo_callbacks.trainer.method_patches import MethodPatches, WrappedStep
from yolo_callbacks.trainer.parameter_groups import (
    WrittenRate,
    apply_factor,
    first_rate,
    forget_factor,
    ratio,
    remove_factor,
)
from yolo_callbacks.utils.files import LOGGER

__all__ = ["RateScaler", "warmup_iterations"]


class RateScaler:
    """Multiply the learning rate of each parameter group of a trainer by a factor.

    The scheduler never sees the factor. The factor is removed from `group["lr"]` before `scheduler.step()`, and before
    the trainer makes a scheduler; afterwards it is applied again. So a scheduler may compute from its base rates, from
    `group["initial_lr"]` or from the present rate. The first two are never changed.

    During its warm-up Ultralytics writes rates before each batch. There the factor is applied to a new rate when the
    trainer prepares the batch. After the warm-up no batch passes through this class.

    Args:
        trainer: The trainer.
        methods: Its methods. They are restored together at the end of a training.

    Attributes:
        obstacle: Why no further reduction is made in this run; empty where reductions work.
        overwritten: Whether other code has overwritten the rates in the last epoch, so that no factor had an effect.
    """

    def __init__(self, trainer: Any, methods: MethodPatches) -> None:
        self.trainer = trainer
        self.obstacle = ""
        self.overwritten = False
        self._methods = methods
        self._reductions: tuple[RateReduction, ...] = ()
        self._base_rates: list[float] = []
        self._step: WrappedStep | None = None
        self._follows_setup = False
        self._depth = 0
        self._warming_up = False
        self._prepare_batch: Any = None
        self._written: list[WrittenRate] = []  # the rates of the groups after the last step
        self._logged: Any = None  # the last `trainer.lr` that was compared with them

    # Rates --------------------------------------------------------------------------------------------------------

    @property
    def base_rates(self) -> list[float]:
        """The rate from which the schedule of each parameter group starts."""
        groups = self._groups
        if len(self._base_rates) < len(groups):  # the first time, and where groups were added
            known = _numbers(getattr(self.trainer.scheduler, "base_lrs", None), len(groups))
            for index in range(len(self._base_rates), len(groups)):
                self._base_rates.append(known[index] if known else first_rate(groups[index]))
        return list(self._base_rates)

    @property
    def reduced_rates(self) -> list[float]:
        """The base rates after all reductions."""
        return [self._reduced(rate) for rate in self.base_rates]

    @property
    def is_effective(self) -> bool:
        """Whether the factors are in the rates that the optimizer uses."""
        return self._step is not None and not self.overwritten

    def _reduced(self, rate: float) -> float:
        for reduction in self._reductions:
            rate = reduction.apply(rate)
        return rate

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return list(getattr(self.trainer.optimizer, "param_groups", None) or ())

    # The scheduler of the trainer --------------------------------------------------------------------------------

    def set_reductions(self, reductions: Iterable[RateReduction], base_rates: Sequence[float] = ()) -> None:
        """Set all reductions of the run. They have an effect from the next `scheduler.step()` on.

        Args:
            reductions: All reductions, in their order.
            base_rates: The base rates at the beginning of the run, where they are known. After a resume the trainer
                may not know them.
        """
        self._reductions = tuple(reductions)
        if len(base_rates) == len(self._groups):
            self._base_rates = list(base_rates)

    def follow(self) -> bool:
        """Follow the scheduler that the trainer has now, and return whether its rates can be reduced.

        Call it before each epoch: users replace schedulers.
        """
        if self._step is not None and self._step.scheduler is self.trainer.scheduler and self._step.in_place:
            return not self.obstacle
        if self._step is not None:
            self._step.undo()
            self._step = None
        reason = self._wrap()
        if reason:
            for group in self._groups:  # after a resume too, rates that are not followed must include no factor
                remove_factor(group)
            self.give_up(reason)
        return not self.obstacle

    def _wrap(self) -> str:
        """Wrap the scheduler. Return why that is impossible, `""` where it was possible."""
        scheduler = self.trainer.scheduler
        try:
            if not self.base_rates:
                return "its optimizer has no parameter groups"
        except Exception as error:
            return f"the rates of its optimizer cannot be read: {error!r}"
        if not callable(getattr(scheduler, "step", None)):
            return f"its scheduler ({type(scheduler).__name__}) has no method step()"
        try:
            self._step = WrappedStep(scheduler, self._around_step)
        except TypeError as error:
            return str(error)
        if not self._follows_setup and hasattr(self.trainer, "_setup_scheduler"):
            self._follows_setup = True
            set_up = self.trainer._setup_scheduler

            def watched(*arguments: Any, **keywords: Any) -> Any:
                with self._unscaled():
                    result = set_up(*arguments, **keywords)
                    self.follow()
                return result

            self._methods.replace("_setup_scheduler", watched)
        return ""

    def close(self) -> None:
        """Give the scheduler its own `step` again."""
        if self._step is not None:
            self._step.undo()
        self._step, self._written, self._logged = None, [], None

    def give_up(self, reason: str) -> None:
        """Make no further reduction in this run, and warn once."""
        if not self.obstacle:
            self.obstacle = reason
            if process_rank() == 0:
                LOGGER.warning(
                    f"the learning rate of this run cannot be reduced: {reason}. Callbacks that reduce it are off."
                )

    def observe(self) -> None:
        """Notice at the end of an epoch whether other code has overwritten the rates after the scheduler's step.

        Compare the rates with `trainer.lr`, a new dict that Ultralytics makes in each epoch right after the last batch.
        """
        logged = getattr(self.trainer, "lr", None)
        if logged is None or logged is self._logged:
            return
        self._logged, self.overwritten = logged, False
        if self._step is None or self._step.scheduler is not self.trainer.scheduler or self._warming_up:
            return
        for index, written in enumerate(self._written):
            now = logged.get(f"lr/pg{index}", written.rate) if isinstance(logged, dict) else written.rate
            self.overwritten |= not written.is_still(now)
        if self.overwritten and self.base_rates != self.reduced_rates:
            self.give_up(self.overwriting)

    @property
    def overwriting(self) -> str:
        """The text of the warning that other code has overwritten the rates and its effect on the reductions."""
        factors = ", ".join(f"{factor:g}" for factor in dict.fromkeys(self.factors) if factor != 1.0)
        return f"other code overwrites it after scheduler.step(), in epoch {self.trainer.epoch + 1}" + (
            f", where the factor {factors} has no effect" if factors else ""
        )

    @property
    def factors(self) -> list[float]:
        """The product of all reductions for each parameter group."""
        return [ratio(self._reduced(base), base) for base in self.base_rates]

    @contextmanager
    def _around_step(self) -> Iterator[None]:
        with self._unscaled():
            yield
        self._guarded(self._watch_warm_up)

    @contextmanager
    def _unscaled(self) -> Iterator[None]:
        """Remove the factors from the rates inside the block, and apply the present factors after it."""
        self._depth += 1
        if self._depth == 1:
            self._guarded(self._unscale)
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._guarded(self._scale)

    def _guarded(self, function: Callable[[], None]) -> None:
        """Call a function inside Ultralytics' loop, where an error of this class must not end a training."""
        try:
            function()
        except Exception as error:
            self.close()
            self.give_up(f"its scheduler and optimizer cannot be followed: {error!r}")

    def _unscale(self) -> None:
        """Remove the factors from the rates."""
        self.observe()
        for group in self._groups:
            remove_factor(group)

    def _scale(self) -> None:
        """Apply the factors to rates that include none."""
        if self._step is None:  # a scheduler that cannot be followed would read the scaled rates
            return
        self._written = []
        for group, base in zip(self._groups, self.base_rates, strict=True):
            apply_factor(group, base, self._reduced(base))
            self._written.append(WrittenRate(group["lr"]))

    def _watch_warm_up(self) -> None:
        """During the warm-up, wrap the method that the trainer calls after it has written the rates of a batch."""
        trainer = self.trainer
        batches = len(trainer.train_loader)
        iterations = warmup_iterations(trainer, batches)
        self._warming_up = iterations > 0 and batches * getattr(trainer, "epoch", 0) <= iterations
        wanted = self._warming_up and self.base_rates != self.reduced_rates
        if wanted and self._prepare_batch is None:
            prepare = trainer.preprocess_batch

            def watched(*arguments: Any, **keywords: Any) -> Any:
                self._guarded(self._scale_new)
                return prepare(*arguments, **keywords)

            self._methods.replace("preprocess_batch", watched)
            self._prepare_batch = watched
        elif (
            not wanted
            and self._prepare_batch is not None
            and self._methods.remove("preprocess_batch", self._prepare_batch)
        ):
            self._prepare_batch = None

    def _scale_new(self) -> None:
        """Apply the factors to the rates that the warm-up has written since the last call."""
        if not self._warming_up or self._step is None:
            return
        bases = self.base_rates
        for index, group in enumerate(self._groups):
            if index < len(self._written) and not self._written[index].is_still(group["lr"]):
                forget_factor(group)
                apply_factor(group, bases[index], self._reduced(bases[index]))
                self._written[index] = WrittenRate(group["lr"])


def warmup_iterations(trainer: Any, batches: int) -> int:
    """Return the number of batches in the warm-up of the learning rate; -1 or 0 where there is no warm-up."""
    if hasattr(trainer, "_get_warmup_iterations"):
        return int(trainer._get_warmup_iterations(batches))
    # up to 8.4.52 at least 100 iterations, however short the epochs
    return max(round(trainer.args.warmup_epochs * batches), 100) if trainer.args.warmup_epochs > 0 else -1


def _numbers(values: Any, count: int) -> list[float]:
    """Return `base_lrs` of a scheduler as numbers; none where a class of the user uses the name for something else."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return []
    return numbers if len(numbers) == count else []
