"""Part of the adaptor: what is put around a trainer's own methods, on the instance, for one training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from yolo_callbacks.signals import deferred, raise_on_sigterm

__all__ = ["TrainingOver", "as_of_epoch", "let_end", "watch_checkpoints", "watch_training"]


class TrainingOver(Exception):  # noqa: N818 (an end, no error)
    """Leaves the loop of a resumed training that has no epoch left."""


def watch_training(trainer: Any, finish: Callable[[], None], on_exit: Callable[[], None], *, is_main: bool) -> None:
    """Take part in how a training ends.

    Args:
        trainer: The trainer.
        finish: Does what Ultralytics does after the last epoch; called where `TrainingOver` left the loop.
        on_exit: Called where the training fails, and after `finish`. Up to 8.4.138 or so Ultralytics calls `teardown`
            neither time; later ones do, after this.
        is_main: Whether SIGTERM may raise. Not on other ranks: one that waits for a rank that is gone never returns
            to Python, where a handler would run, and has to die all the same.
    """
    train = trainer._do_train

    def watched(*arguments: Any, **keywords: Any) -> Any:
        with raise_on_sigterm() if is_main else contextlib.nullcontext():
            try:
                try:
                    return train(*arguments, **keywords)
                except TrainingOver:
                    finish()
            except BaseException:
                on_exit()
                raise
        on_exit()
        return None

    trainer._do_train = watched


def watch_checkpoints(trainer: Any, before: Callable[[], None]) -> None:
    """Call `before` each time before the trainer writes its checkpoints, and let no signal cut one short."""
    save = trainer.save_model

    def watched(*arguments: Any, **keywords: Any) -> Any:
        before()
        with deferred():
            return save(*arguments, **keywords)

    trainer.save_model = watched


def let_end(trainer: Any) -> None:
    """Let a run be resumed whose last epoch is in its checkpoint, but not what comes after it.

    8.4.190 refuses ("nothing to resume"), 8.3.200 trains an epoch more. The end of the run is told by `TrainingOver`.
    """
    resume = trainer.resume_training

    def watched(checkpoint: Any) -> None:
        done = bool(checkpoint) and checkpoint.get("epoch", -1) + 1 == trainer.epochs
        trainer.epochs += done
        try:
            resume(checkpoint)
        finally:
            trainer.epochs -= done

    trainer.resume_training = watched


@contextlib.contextmanager
def as_of_epoch(trainer: Any, epoch: int, values: Mapping[str, float]) -> Iterator[None]:
    """Let a trainer that has not begun look as at the end of an epoch, counted from 1, as far as callbacks read it."""
    measured = {name: value for name, value in values.items() if name.startswith(("metrics/", "val/"))}
    losses = tuple(name.removeprefix("train/") for name in values if name.startswith("train/"))
    shown = {
        "epoch": epoch - 1,
        "metrics": {**(trainer.metrics or {}), **measured},
        "fitness": values.get("fitness"),
        "lr": {name: value for name, value in values.items() if name.startswith("lr/")},
        "loss_names": trainer.loss_names or losses,  # from 8.4.104 on unknown before the first batch
        "stop": False,
    }
    own = {name: vars(trainer)[name] for name in shown if name in vars(trainer)}
    vars(trainer).update(shown)
    try:
        yield
    finally:
        for name in shown:
            del vars(trainer)[name]
        vars(trainer).update(own)
