"""Part of the adaptor: what is put around a trainer's own methods, on the instance, for one training."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.linked_copies import LinkedCopies, separate
from yolo_callbacks.trainer.method_patches import Methods
from yolo_callbacks.trainer.stripping import LastCheckpoint, strip_through_temporary_files
from yolo_callbacks.utils.files import LOGGER, temporary_beside
from yolo_callbacks.utils.signals import deferred, raise_on_sigterm

__all__ = [
    "SAVED",
    "BatchInFlight",
    "Methods",
    "TrainingOver",
    "as_of_epoch",
    "release",
    "stamp",
    "watch_batches",
    "watch_checkpoints",
    "watch_end",
    "watch_training",
    "watch_validation",
    "write_checkpoint",
]

# What a trainer holds and nobody reads after the training.
_TRAINING_ONLY = ("optimizer", "scheduler", "scaler", "ema", "loss", "loss_items", "train_loader", "test_loader")
# What `trainer.save_model()` needs.
SAVED = ("optimizer", "scaler", "ema")


class TrainingOver(Exception):  # noqa: N818 (an end, no error)
    """Leaves the loop of a resumed training that has no epoch left."""


def watch_training(
    methods: Methods,
    finish: Callable[[], None],
    on_failure: Callable[[BaseException], None],
    on_exit: Callable[[], None],
    *,
    is_main: bool,
) -> None:
    """Take part in how a training ends.

    Args:
        methods: Of the trainer.
        finish: Does what Ultralytics does after the last epoch; called where `TrainingOver` left the loop.
        on_failure: Called with the error where the training fails, before `on_exit`.
        on_exit: Called where the training fails, and after `finish`. Up to 8.4.138 or so Ultralytics calls `teardown`
            neither time; later ones do, after this.
        is_main: Whether SIGTERM may raise. Not on other ranks: one that waits for a rank that is gone never returns
            to Python, where a handler would run, and has to die all the same.
    """
    train = methods.trainer._do_train

    def watched(*arguments: Any, **keywords: Any) -> Any:
        with raise_on_sigterm() if is_main else contextlib.nullcontext():
            try:
                try:
                    return train(*arguments, **keywords)
                except TrainingOver:
                    finish()
            except BaseException as error:
                on_failure(error)
                never_raising(on_exit)
                raise
        on_exit()
        return None

    methods.put("_do_train", watched)


def watch_end(
    methods: Methods,
    on_start: Callable[[], None],
    on_failure: Callable[[BaseException], None],
    on_end: Callable[[], None],
) -> None:
    """Be told when a training is over, after every `teardown`.

    Args:
        methods: Of the trainer.
        on_start: Called when the training starts: not where it has started already, so that nothing will be told.
        on_failure: Called with the error where the training fails, before `on_end`.
        on_end: Called at the end.
    """
    train = methods.trainer.train

    def watched(*arguments: Any, **keywords: Any) -> Any:
        on_start()
        try:
            return train(*arguments, **keywords)
        except BaseException as error:
            on_failure(error)
            raise
        finally:
            never_raising(on_end)

    methods.put("train", watched)


def watch_validation(methods: Methods, on_validated: Callable[[], None], on_final: Callable[[bool], None]) -> None:
    """Take note of each validation in training and of the final evaluation, whoever overrides them.

    Args:
        methods: Of the trainer.
        on_validated: Called after each `validate()`.
        on_final: Called with True before the final evaluation and with False after it.
    """
    validate, evaluate = methods.trainer.validate, methods.trainer.final_eval

    def watched_validate(*arguments: Any, **keywords: Any) -> Any:
        result = validate(*arguments, **keywords)
        never_raising(on_validated, "the suite failed after a validation, training goes on")
        return result

    def watched_evaluation(*arguments: Any, **keywords: Any) -> Any:
        on_final(True)
        try:
            return evaluate(*arguments, **keywords)
        finally:
            on_final(False)

    methods.put("validate", watched_validate)
    methods.put("final_eval", watched_evaluation)


def watch_checkpoints(
    methods: Methods,
    before: Callable[[], None],
    on_saved: Callable[[], None],
    snapshots: LinkedCopies,
    last: LastCheckpoint,
) -> bool:
    """Write and strip checkpoints atomically, and keep existing copies of them unchanged.

    Args:
        methods: Of the trainer.
        before: Called each time before the trainer writes its checkpoints.
        on_saved: Called each time after `save_model()` has written last.pt.
        snapshots: The copies.
        last: Holds back the stripping of last.pt.

    Returns:
        Whether that holds for the writing. It does not for a `save_model` of the user's own, who may write elsewhere,
        or later.
    """
    from ultralytics.engine.trainer import BaseTrainer

    trainer, save, evaluate = methods.trainer, methods.trainer.save_model, methods.trainer.final_eval
    known = getattr(save, "__func__", None) is BaseTrainer.save_model

    def watched_save(*arguments: Any, **keywords: Any) -> Any:
        before()
        snapshots.wait()
        earlier = stamp(Path(trainer.last))
        with deferred():
            result = written(*arguments, **keywords)
        if stamp(Path(trainer.last)) != earlier:
            never_raising(on_saved, "the suite failed after a checkpoint, training goes on")
        return result

    def written(*arguments: Any, **keywords: Any) -> Any:
        if known:
            with contextlib.suppress(OSError), _written_whole(trainer, snapshots):
                return save(*arguments, **keywords)
            snapshots.give_up()  # no room for two at a time: in place, as without a suite
        return save(*arguments, **keywords)

    def watched_evaluation(*arguments: Any, **keywords: Any) -> Any:
        snapshots.wait()
        for path in (trainer.last, trainer.best):
            separate(Path(path))  # a `final_eval` of the user's own may write them in place
        strip_through_temporary_files(trainer)
        with last.held_back():
            return evaluate(*arguments, **keywords)

    methods.put("save_model", watched_save)
    methods.put("final_eval", watched_evaluation)
    return known


def stamp(path: Path) -> tuple[int, int]:
    """Return what changes with every write of a file."""
    if not path.is_file():
        return 0, 0
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@contextlib.contextmanager
def _written_whole(trainer: Any, snapshots: LinkedCopies) -> Iterator[None]:
    """Let a trainer write its checkpoints to a temporary folder, and move them where all went well.

    Up to 8.4.190 at least Ultralytics writes them in place, and a kill leaves half a file (#25428).
    """
    with _other_folder(trainer, Path(trainer.wdir)) as (folder, names):
        yield
        # last.pt at the end: a kill before that leaves the one before, whose epoch will write all of them again
        written = sorted(folder.iterdir(), key=lambda path: (path.name == "last.pt", path.name))
        for path in written:
            target = names.get(path.stem, names["wdir"] / path.name)
            with snapshots.freed_later(target, written_again=True):
                path.replace(target)


def write_checkpoint(trainer: Any, path: Path) -> bool:
    """Serialise a training to a file, and leave Ultralytics' own checkpoints alone.

    Args:
        trainer: The trainer.
        path: The file to make or replace.

    Returns:
        Whether there was something to write.

    Raises:
        OSError, RuntimeError: If the file cannot be written. `path` is as it was then.
    """
    # Not a `save_model` of the user's own, which may do more than write: without a suite it would not be called here.
    save = next(
        vars(kind)["save_model"]
        for kind in type(trainer).__mro__
        if "save_model" in vars(kind) and kind.__module__.startswith("ultralytics.")
    )
    with deferred(), _other_folder(trainer, path.parent) as (folder, _):
        save(trainer)
        written = folder / "last.pt"
        if not written.is_file():
            return False
        written.replace(path)
    return True


@contextlib.contextmanager
def _other_folder(trainer: Any, beside: Path) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Let a trainer write its checkpoints to a temporary folder; yield the folder and the trainer's own paths."""
    own = vars(trainer)
    before = {name: getattr(trainer, name) for name in ("wdir", "last", "best")}
    beside.mkdir(parents=True, exist_ok=True)
    folder = temporary_beside(beside / "checkpoints")
    folder.mkdir(mode=0o700)
    own.update(wdir=folder, last=folder / "last.pt", best=folder / "best.pt")
    try:
        yield folder, {name: Path(path) for name, path in before.items()}
    finally:
        own.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def watch_batches(methods: Methods) -> BatchInFlight:
    """Keep what is known of the batch in flight, from now on; no reference to it, which would hold its memory."""
    seen, prepare = BatchInFlight(), methods.trainer.preprocess_batch

    def watched(batch: Any, *arguments: Any, **keywords: Any) -> Any:
        seen.take(batch)
        prepared = prepare(batch, *arguments, **keywords)
        seen.look(prepared)  # multi_scale has resized it
        return prepared

    methods.put("preprocess_batch", watched)
    return seen


@dataclass
class BatchInFlight:
    """The batch that goes through the model.

    Attributes:
        index: Its place in the epoch, counted from 0; -1 before the first.
        shape: Of its images, (batch, channels, height, width) in pixels.
        instances: How many boxes it has; None where the task has none.
    """

    index: int = -1
    shape: tuple[int, ...] = ()
    instances: int | None = None

    def take(self, batch: Any) -> None:
        """Go on to the next batch."""
        self.index += 1
        self.look(batch)

    def look(self, batch: Any) -> None:
        """Note the sizes of a batch; a trainer of the user's own may have batches of any form."""
        try:
            self.shape = tuple(batch["img"].shape)
            self.instances = len(batch["bboxes"]) if "bboxes" in batch else None
        except Exception:  # no guard stands between this and the training
            self.shape, self.instances = (), None


def release(trainer: Any, validator: Any, *, keep: Collection[str] = ()) -> None:
    """Drop what only training needs: optimizer, EMA, gradients, loaders with their workers and data sets.

    What users read afterwards stays: the paths, the metrics, the arguments, the model, the validator's results.

    Args:
        trainer: The trainer.
        validator: Its validator, None where there is none.
        keep: Names of what stays all the same.
    """
    for holder, names in ((trainer, _TRAINING_ONLY), (validator, ("dataloader",))):
        for name in names:
            held = getattr(holder, name, None)
            if held is None or name in keep:
                continue
            if "loader" in name:
                _close(held)
            setattr(holder, name, None)
    zero_grad = getattr(getattr(trainer, "model", None), "zero_grad", None)  # a path where set-up failed
    if zero_grad:
        zero_grad(set_to_none=True)


def _close(loader: Any) -> None:
    """End a loader's workers."""
    close = getattr(loader, "close", None)  # from 8.4.103 at the latest
    shut_down = getattr(getattr(loader, "iterator", None), "_shutdown_workers", None)
    if close:
        close()
    elif shut_down:
        shut_down()


def never_raising(function: Callable[[], None], message: str = "the end of the training could not be handled") -> None:
    """Call a function where its error would hide another one, or end a training that went through."""
    try:
        function()
    except Exception as error:
        LOGGER.error(message, exc_info=error)


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
