"""Reduce the learning rate of a training, whatever scheduler it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from yolo_callbacks.decisions import RateReduction
from yolo_callbacks.trainer.method_patches import Methods, WrappedStep
from yolo_callbacks.utils.files import LOGGER

__all__ = ["LearningRate", "warmup_iterations"]

# Keys of a parameter group, there only while its rate includes a factor: the factor, and the rate without it. A
# checkpoint holds them together with the rate, so after a resume or a recovery from NaN it is known what it includes.
_SCALE, _UNSCALED = "yolo_callbacks_scale", "yolo_callbacks_unscaled_lr"


class LearningRate:
    """Multiply the learning rate of each parameter group of a trainer by a factor.

    The scheduler never sees the factor. It is taken out of `group["lr"]` before `scheduler.step()` and before the
    trainer makes a scheduler, and put in again after it. So it makes no difference whether a scheduler starts from its
    base rates, from `group["initial_lr"]` or from the rate that is there. Neither of the first two is ever changed.

    The warm-up of Ultralytics writes rates of its own before each batch. While a factor is in force there, a new rate
    is multiplied when the trainer prepares the batch. After the warm-up no batch passes through this class.

    Args:
        trainer: The trainer.
        methods: Its methods; what is replaced is put back together with everything else at the end of a training.

    Attributes:
        obstacle: Why no further reduction is made in this run; empty where reductions work.
        overwritten: Whether other code has overwritten the rates in the last epoch, so that no factor was in force.
    """

    def __init__(self, trainer: Any, methods: Methods) -> None:
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
        self._written: list[tuple[Any, Any]] = []  # what is in the groups since the last step
        self._logged: Any = None  # the last `trainer.lr` that was compared with it

    # Rates --------------------------------------------------------------------------------------------------------

    @property
    def base_rates(self) -> list[float]:
        """The rate that the schedule of each parameter group starts from."""
        groups = self._groups
        if len(self._base_rates) < len(groups):  # the first time, and where groups were added
            known = _numbers(getattr(self.trainer.scheduler, "base_lrs", None), len(groups))
            for index in range(len(self._base_rates), len(groups)):
                self._base_rates.append(known[index] if known else _first_rate(groups[index]))
        return list(self._base_rates)

    @property
    def reduced_rates(self) -> list[float]:
        """The base rates after all reductions."""
        return [self._reduced(rate) for rate in self.base_rates]

    @property
    def in_force(self) -> bool:
        """Whether the factors are in the rates that the optimizer uses."""
        return self._step is not None and not self.overwritten

    def _reduced(self, rate: float) -> float:
        for reduction in self._reductions:
            rate = reduction.apply(rate)
        return rate

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return list(getattr(self.trainer.optimizer, "param_groups", None) or ())

    # What the trainer does with them ------------------------------------------------------------------------------

    def reduce(self, reductions: Iterable[RateReduction], base_rates: Sequence[float] = ()) -> None:
        """Set all reductions of the run. They are in force from the next `scheduler.step()` on.

        Args:
            reductions: All of them, in their order.
            base_rates: What the run began with, where that is known: after a resume the trainer may not know it.
        """
        self._reductions = tuple(reductions)
        if len(base_rates) == len(self._groups):
            self._base_rates = list(base_rates)

    def follow(self) -> bool:
        """Follow the scheduler that the trainer has now, and return whether its rates can be reduced.

        To be called before each epoch: users replace schedulers.
        """
        if self._step is not None and self._step.scheduler is self.trainer.scheduler and self._step.in_place:
            return not self.obstacle
        if self._step is not None:
            self._step.put_back()
            self._step = None
        reason = self._wrap()
        if reason:
            for group in self._groups:  # as after a resume: what is not followed must not claim a factor either
                _unscale(group)
            self.give_up(reason)
        return not self.obstacle

    def _wrap(self) -> str:
        """Wrap the scheduler, and return why that is impossible."""
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

            self._methods.put("_setup_scheduler", watched)
        return ""

    def close(self) -> None:
        """Give the scheduler its own `step` again."""
        if self._step is not None:
            self._step.put_back()
        self._step, self._written, self._logged = None, [], None

    def give_up(self, reason: str) -> None:
        """Make no further reduction in this run, and say so once."""
        from ultralytics.utils import RANK

        if not self.obstacle:
            self.obstacle = reason
            if RANK in (-1, 0):
                LOGGER.warning(
                    f"the learning rate of this run cannot be reduced: {reason}. Callbacks that reduce it are off."
                )

    def observe(self) -> None:
        """Notice at the end of an epoch whether other code has overwritten the rates after the scheduler's step.

        Compared is what Ultralytics notes in `trainer.lr` right after the last batch, a new dict in each epoch.
        """
        logged = getattr(self.trainer, "lr", None)
        if logged is None or logged is self._logged:
            return
        self._logged, self.overwritten = logged, False
        if self._step is None or self._step.scheduler is not self.trainer.scheduler or self._warming_up:
            return
        for index, mark in enumerate(self._written):
            now = logged.get(f"lr/pg{index}", mark[0]) if isinstance(logged, dict) else mark[0]
            self.overwritten |= not _is_marked(now, mark)
        if self.overwritten and self.base_rates != self.reduced_rates:
            self.give_up(self.overwriting)

    @property
    def overwriting(self) -> str:
        """Say that other code has overwritten the rates, and what that means for the reductions there are."""
        factors = ", ".join(f"{factor:g}" for factor in dict.fromkeys(self.factors) if factor != 1.0)
        return f"other code overwrites it after scheduler.step(), in epoch {self.trainer.epoch + 1}" + (
            f", where the factor {factors} has no effect" if factors else ""
        )

    @property
    def factors(self) -> list[float]:
        """What the reductions multiply the rate of each parameter group with."""
        return [_ratio(self._reduced(base), base) for base in self.base_rates]

    @contextmanager
    def _around_step(self) -> Iterator[None]:
        with self._unscaled():
            yield
        self._guarded(self._watch_warm_up)

    @contextmanager
    def _unscaled(self) -> Iterator[None]:
        """Take the factors out of the rates, and put those of now in at the end."""
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
        """Call a function in the middle of Ultralytics' loop, where an error of ours must not end a training."""
        try:
            function()
        except Exception as error:
            self.close()
            self.give_up(f"its scheduler and optimizer cannot be followed: {error!r}")

    def _unscale(self) -> None:
        """Take the factors out of the rates."""
        self.observe()
        for group in self._groups:
            _unscale(group)

    def _scale(self) -> None:
        """Put the factors into rates that have none."""
        if self._step is None:  # a scheduler that cannot be followed would meet the scaled rates
            return
        self._written = []
        for group, base in zip(self._groups, self.base_rates, strict=True):
            _scale(group, base, self._reduced(base))
            self._written.append(_mark(group["lr"]))

    def _watch_warm_up(self) -> None:
        """Wrap what the trainer calls after the warm-up has written the rates of a batch, only while it does."""
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

            self._methods.put("preprocess_batch", watched)
            self._prepare_batch = watched
        elif (
            not wanted
            and self._prepare_batch is not None
            and self._methods.take("preprocess_batch", self._prepare_batch)
        ):
            self._prepare_batch = None

    def _scale_new(self) -> None:
        """Put the factors into the rates that the warm-up has written since the last call."""
        if not self._warming_up or self._step is None:
            return
        bases = self.base_rates
        for index, group in enumerate(self._groups):
            if index < len(self._written) and not _is_marked(group["lr"], self._written[index]):
                group.pop(_SCALE, None)
                _scale(group, bases[index], self._reduced(bases[index]))
                self._written[index] = _mark(group["lr"])


def warmup_iterations(trainer: Any, batches: int) -> int:
    """Return how many batches the warm-up of the learning rate has; -1 or 0 where there is none."""
    if hasattr(trainer, "_get_warmup_iterations"):
        return int(trainer._get_warmup_iterations(batches))
    # up to 8.4.52 at least 100 iterations, however short the epochs
    return max(round(trainer.args.warmup_epochs * batches), 100) if trainer.args.warmup_epochs > 0 else -1


def _scale(group: dict[str, Any], base: float, reduced: float) -> None:
    """Put a factor into a rate that has none."""
    if reduced == base:
        return
    rate, factor = float(group["lr"]), _ratio(reduced, base)
    group[_SCALE], group[_UNSCALED] = factor, rate
    # not `rate * factor` where the schedule is at its base rate: rounding would miss the floor
    _write(group, reduced if rate == base else rate * factor)


def _unscale(group: dict[str, Any]) -> None:
    """Take the factor out of a rate that has one."""
    factor, unscaled = group.pop(_SCALE, None), group.pop(_UNSCALED, None)
    if not factor:
        return
    rate = float(group["lr"])
    untouched = unscaled is not None and math.isclose(rate, float(unscaled) * factor, rel_tol=1e-6)
    _write(group, float(unscaled) if untouched else rate / factor)


def _write(group: dict[str, Any], rate: float) -> None:
    """Write a rate as schedulers of torch do: into a tensor where there is one."""
    if hasattr(group["lr"], "fill_"):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _mark(rate: Any) -> tuple[Any, Any]:
    """Return what changes with every write of a rate, also of the same value: the object, and a tensor's version."""
    return rate, getattr(rate, "_version", None)


def _is_marked(rate: Any, mark: tuple[Any, Any]) -> bool:
    return rate is mark[0] and getattr(rate, "_version", None) == mark[1]


def _ratio(reduced: float, base: float) -> float:
    return reduced / base if base else 1.0


def _first_rate(group: dict[str, Any]) -> float:
    """Return the rate that a parameter group starts from, where the scheduler does not say it."""
    rate = group.get("initial_lr")
    return float(group.get(_UNSCALED, group["lr"]) if rate is None else rate)


def _numbers(values: Any, count: int) -> list[float]:
    """Return `base_lrs` of a scheduler as numbers; none where a class of the user's own means something else by it."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return []
    return numbers if len(numbers) == count else []
