"""Notice the end of a training, and free the memory that only training needs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from yolo_callbacks.trainer.contexts import TrainingContexts
from yolo_callbacks.trainer.method_patches import MethodPatches, call_and_log_error
from yolo_callbacks.trainer.worker_exceptions import from_workers, hand_to_parent
from yolo_callbacks.utils.control_flow import is_stopped
from yolo_callbacks.utils.memory import is_out_of_memory
from yolo_callbacks.utils.signals import raise_on_sigterm, restore_child_handler

__all__ = ["TrainingEnd", "TrainingOver", "finish_training", "release", "watch_end", "watch_training"]

# The attributes of a trainer that nobody reads after the training.
_TRAINING_ONLY = ("optimizer", "scheduler", "scaler", "ema", "loss", "loss_items", "train_loader", "test_loader")
# Those of them that `trainer.save_model()` needs.
_SAVED = ("optimizer", "scaler", "ema")
_END_FAILED = "the end of the training could not be handled"


class TrainingOver(Exception):  # noqa: N818 (an end, not an error)
    """Leave the loop of a resumed training that has no epoch left."""


class TrainingEnd:
    """Know how a training ends.

    Attributes:
        is_reported: Whether the end is reported after every `teardown`. It is not where the training had begun before
            anybody watched it.
        raising: The exception that the training is to end with, after all else; None where there is none.
    """

    def __init__(self) -> None:
        self.is_reported = False
        self.raising: BaseException | None = None
        self._failure: BaseException | None = None
        self._callers_error = id(sys.exc_info()[1])

    def start(self) -> None:
        """Note that the training starts, so that its end will be reported."""
        self.is_reported = True
        self._callers_error = id(sys.exc_info()[1])

    def fail(self, error: BaseException) -> None:
        """Note the error that ends the training."""
        self._failure = error

    @property
    def failure(self) -> BaseException | None:
        """The error that is ending the training; None where there is none."""
        # Where the training had begun before anybody watched it, only Python knows the error: it is handling it. An
        # error that was handled from the start is the caller's own, as in a script that trains again in an `except`.
        handled = sys.exc_info()[1]
        return self._failure or (handled if id(handled) != self._callers_error else None)

    def forget(self) -> None:
        """Drop the error: its traceback holds the last batch and its loss."""
        self._failure = None

    def raise_pending(self) -> None:
        """Raise the exception that the training is to end with, if there is one; from a worker, in its parent."""
        raising, self.raising = self.raising, None
        if raising is not None and not hand_to_parent(raising):
            raise raising


def watch_training(
    methods: MethodPatches,
    end: TrainingEnd,
    finish: Callable[[], None],
    on_exit: Callable[[], None],
    contexts: TrainingContexts,
    *,
    is_main: bool,
) -> None:
    """Notice how the training loop ends, and let a resumed training end at once.

    Args:
        methods: The methods of the trainer.
        end: Where a failure is noted.
        finish: Does what Ultralytics does after the last epoch; called where `TrainingOver` left the loop.
        on_exit: Called where the training fails, and after `finish`. Up to 8.4.138 or so Ultralytics calls `teardown`
            in neither case; later versions call it after this.
        contexts: What is entered while the training runs.
        is_main: Whether SIGTERM may raise an exception. Not on other ranks: one that waits for a rank that is gone
            never returns to Python, where a handler would run, and must end nevertheless.
    """
    train = methods.trainer._do_train

    def watched(*arguments: Any, **keywords: Any) -> Any:
        with raise_on_sigterm() if is_main else nullcontext():
            try:
                try:
                    with contexts.entered():
                        return train(*arguments, **keywords)
                except TrainingOver:
                    finish()
            except BaseException as error:
                end.fail(error)
                call_and_log_error(on_exit, _END_FAILED)
                raise
        on_exit()
        return None

    methods.replace("_do_train", watched)


def watch_end(methods: MethodPatches, end: TrainingEnd, on_end: Callable[[], None]) -> None:
    """Report the end of a training, after every `teardown`.

    Args:
        methods: The methods of the trainer.
        end: Where the start and a failure are noted. The start is not noted where the training has started already,
            and then the end is not reported.
        on_end: Called at the end.
    """
    train = methods.trainer.train

    def watched(*arguments: Any, **keywords: Any) -> Any:
        end.start()
        with from_workers(methods.trainer) as raised:
            try:
                result = train(*arguments, **keywords)
            except BaseException as error:
                end.fail(error)
                if is_stopped(error):
                    # In a thread the agent raises a plain Exception, and reports a failure where that leaves the
                    # function of the trial. SystemExit itself is the only one that a thread ends with in silence.
                    raise SystemExit(0) from None
                raise
            finally:
                call_and_log_error(on_end, _END_FAILED)
                restore_child_handler()
            end.raising = end.raising or raised()
        end.raise_pending()
        return result

    methods.replace("train", watched)


def finish_training(trainer: Any, last_epoch: int) -> None:
    """Do what Ultralytics does after the last epoch.

    Args:
        trainer: The trainer of a resumed training that has no epoch left.
        last_epoch: The last epoch, counted from 1.
    """
    trainer.epoch, trainer.stop = last_epoch - 1, True
    trainer.final_eval()
    if trainer.args.plots:
        trainer.plot_metrics()
    trainer.run_callbacks("on_train_end")
    for loader in (trainer.train_loader, trainer.test_loader):
        if hasattr(loader, "close"):
            loader.close()


def release(trainer: Any, failure: BaseException | None = None) -> None:
    """Free what only training needs: optimizer, EMA, gradients, loaders with their workers and data sets.

    What users read afterwards stays: the paths, the metrics, the arguments, the model, the validator's results.

    Args:
        trainer: The trainer.
        failure: The error that has ended the training. After an error, keep what `save_model()` needs: users rescue
            their weights with it. After an error that says that memory ran out, free all, and also what the traceback
            of the error holds, so that the next attempt has room.
    """
    keep: tuple[str, ...] = () if failure is None else _SAVED
    if failure is not None and is_out_of_memory(failure):
        traceback.clear_frames(failure.__traceback__)
        keep = ()
    validator = getattr(trainer, "validator", None)
    for holder, names in ((trainer, _TRAINING_ONLY), (validator, ("dataloader",))):
        for name in names:
            held = getattr(holder, name, None)
            if held is None or name in keep:
                continue
            if "loader" in name:
                _close(held)
            setattr(holder, name, None)
    zero_grad = getattr(getattr(trainer, "model", None), "zero_grad", None)  # `model` is a path where set-up failed
    if zero_grad:
        zero_grad(set_to_none=True)


def _close(loader: Any) -> None:
    """End the workers of a loader."""
    close = getattr(loader, "close", None)  # from 8.4.103 at the latest
    shut_down = getattr(getattr(loader, "iterator", None), "_shutdown_workers", None)
    if close:
        close()
    elif shut_down:
        shut_down()
