"""Strip checkpoints through temporary files, and last.pt only when its run is over.

Up to 8.4.190 at least Ultralytics strips last.pt and best.pt by `torch.save` in place: a kill leaves half a file. And
it strips last.pt before the final evaluation: a kill after that leaves a run that is not finished, and that cannot be
resumed.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.resume import load_checkpoint
from yolo_callbacks.utils.files import LOGGER, replace_atomic, stamp, temporary_beside
from yolo_callbacks.utils.signals import deferred

__all__ = ["LastCheckpoint", "strip_checkpoint", "strip_through_temporary_files", "stripped_from"]

_NAME = "strip_optimizer"
_WRAPPED = "_yolo_callbacks"  # marks a function that is already wrapped
_delayed: dict[Path, LastCheckpoint] = {}
_stripped: dict[Path, tuple[tuple[int, int], tuple[int, int]]] = {}  # the stamps before and after


class LastCheckpoint:
    """Delay the stripping of one last.pt until its run is over.

    Args:
        path: The checkpoint.
        keep: Whether never to strip it, so that the run can be extended.
    """

    def __init__(self, path: Path, *, keep: bool = False) -> None:
        self.path, self.keep = path, keep
        self._stripped: Path | None = None

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Delay the stripping inside the block, whichever function of Ultralytics strips the checkpoint."""
        key = self.path.absolute()
        _delayed[key] = self
        try:
            yield
        finally:
            _delayed.pop(key, None)

    def strip(self) -> None:
        """Replace the checkpoint by its stripped version; do nothing where there is none."""
        stripped, self._stripped = self._stripped, None
        if stripped is None:
            return
        try:
            with deferred():
                stripped.replace(self.path)
        except OSError as error:
            _warn(self.path, error)
            stripped.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the stripped version: the run did not reach its end."""
        if self._stripped is not None:
            self._stripped.unlink(missing_ok=True)
            self._stripped = None

    def keep_for_the_end(self, stripped: Path) -> None:
        """Keep the stripped version until the run is over."""
        self.discard()
        self._stripped = stripped


def strip_checkpoint(path: Path) -> None:
    """Strip a checkpoint of this run as Ultralytics strips best.pt, without its line on the console.

    Raises:
        OSError: If the checkpoint is not valid. It is not changed then.
        Exception: Of any kind that torch raises, if the checkpoint cannot be written. It is not changed then.
    """
    from ultralytics.utils.torch_utils import strip_optimizer

    original = getattr(strip_optimizer, _WRAPPED, strip_optimizer)

    def write(temporary: Path) -> None:
        with _edited_log(lambda text: None):
            if not original(path, s=str(temporary)):
                raise OSError(f"{path} is not a valid checkpoint")

    with deferred():
        replace_atomic(path, write)


def stripped_from(path: Path) -> tuple[int, int] | None:
    """Return the stamp that a checkpoint had before Ultralytics stripped it; None if it was not, or has changed."""
    before, after = _stripped.get(path.absolute(), (None, None))
    return before if after == stamp(path) else None


def strip_through_temporary_files(trainer: Any) -> None:
    """Replace the function that strips checkpoints, in each module where the `final_eval` of a trainer may find it."""
    modules = ["ultralytics.utils.torch_utils", *(kind.__module__ for kind in type(trainer).__mro__)]
    for name in dict.fromkeys(modules):
        namespace = vars(sys.modules[name]) if name in sys.modules else {}
        original = namespace.get(_NAME)
        if callable(original) and not hasattr(original, _WRAPPED):
            namespace[_NAME] = _wrap(original)


def _wrap(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @functools.wraps(original)
    def strip_optimizer(f: Any = "best.pt", s: Any = "", updates: dict[str, Any] | None = None) -> dict[str, Any]:
        target = Path(s or f)
        last = _delayed.get(target.absolute())
        if last is not None and last.keep:
            return _load(f)
        temporary, before = temporary_beside(target), stamp(target)
        try:
            with deferred(), _edited_log(lambda text: text.replace(f" saved as {temporary},", "")):
                stripped = original(f, s=str(temporary), updates=updates)
                if not stripped:  # Ultralytics has logged that it is not a valid model
                    return stripped
                if last is None:
                    temporary.replace(target)
                    _stripped[target.absolute()] = before, stamp(target)
                else:
                    last.keep_for_the_end(temporary)
                return stripped
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            _warn(target, error)
            temporary.unlink(missing_ok=True)
            return _load(f)  # `final_eval` reads its `train_results`
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    setattr(strip_optimizer, _WRAPPED, original)
    return strip_optimizer


def _load(path: Any) -> dict[str, Any]:
    """Load a checkpoint that this run has written."""
    try:
        content: dict[str, Any] = load_checkpoint(path)
    except Exception as error:
        LOGGER.warning(f"{path} cannot be read: {error}")
        return {}
    return content


def _warn(path: Path, error: Exception) -> None:
    LOGGER.warning(f"{path} could not be stripped and stays as it was: {error}")


@contextmanager
def _edited_log(edit: Callable[[str], str | None]) -> Iterator[None]:
    """Edit what this thread writes to Ultralytics' log below warnings; drop a line where `edit` returns None."""
    thread = threading.get_ident()

    def edited(record: logging.LogRecord) -> bool:
        if record.thread != thread or record.levelno >= logging.WARNING:
            return True
        text = edit(record.getMessage())
        record.msg, record.args = text, ()
        return text is not None

    logger = logging.getLogger("ultralytics")
    logger.addFilter(edited)
    try:
        yield
    finally:
        logger.removeFilter(edited)
