"""The callbacks of YOLO_CALLBACKS in every training of this process, without a word in the user's script.

Ultralytics copies its default callbacks for every model and trainer, compares them to see whether a user has added any,
and pickles them for the workers of a multi-GPU training. So plain functions stand there, one an event, which are
pickled by name; what they work with hangs on the trainer.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from _yolo_callbacks_boot import VARIABLE, refuse
from yolo_callbacks.callbacks.events import Event
from yolo_callbacks.config.loading import ConfigError, Configuration, clash_text, load
from yolo_callbacks.suite.handlers import is_attached
from yolo_callbacks.suite.training_checks import check_training
from yolo_callbacks.trainer.installation import before_training
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.redaction import origins_of

__all__ = ["FUNCTIONS", "register"]

# Values of the variable that were checked, and the callbacks that this made, until a training takes them.
_checked: dict[str, Configuration | None] = {}
_trainers: weakref.WeakSet[Any] = weakref.WeakSet()


def register(default_callbacks: dict[str, list[Callable[[Any], None]]]) -> None:
    """Check what YOLO_CALLBACKS says, then put our functions into Ultralytics' lists; may be repeated.

    Raises:
        ConfigError: If YOLO_CALLBACKS, or the file that it names, is wrong.
    """
    before_training(check_training)
    value = os.environ[VARIABLE]
    if value not in _checked:
        _checked[value] = load(value)
    for event, function in FUNCTIONS.items():
        functions = default_callbacks.setdefault(event, [])
        if function not in functions:
            functions.insert(0, function)  # `Model.reset_callbacks` keeps the first


def reach(callbacks: dict[str, list[Callable[[Any], None]]]) -> None:
    """Put the functions into the lists of a trainer that has none of them."""
    if any(function in callbacks.get(event, ()) for event, function in FUNCTIONS.items()):
        return
    for event, function in FUNCTIONS.items():
        callbacks.setdefault(event, []).insert(0, function)


def _handle(event: str, source: Any) -> None:
    if event.startswith("on_val"):  # a validator does not know its trainer, a suite knows its validator
        for trainer in list(_trainers):
            _tell(trainer, event, source)
        return
    if source not in _trainers:
        _trainers.add(source)
        _plug_in(source)
    elif event == "on_pretrain_routine_end" and is_attached(source):
        TrainingRun.of(source).plugged = None  # attached by a callback of the event before
    _tell(source, event, source)


def _plug_in(trainer: Any) -> None:
    """Give a trainer its suite, unless the user's script has."""
    value = os.environ.get(VARIABLE)
    if not value:
        return
    if is_attached(trainer):
        LOGGER.info(f"Callbacks: those that the script attached; the ones of {VARIABLE} stand back")
        return
    run = TrainingRun.of(trainer)
    configuration: Configuration | None = None
    try:
        configuration = _checked.get(value) or load(value)
        _checked[value] = None
        suite = configuration.suite(run.task)
    except ConfigError as error:
        run.remove_fresh_folder()
        refuse(error)
    except ValueError as error:  # what clashes for the task of this model only
        run.remove_fresh_folder()
        where = configuration.origin(configuration.callbacks[0]) if configuration else VARIABLE
        refuse(ConfigError(f"{where}: {clash_text(error, configuration.callbacks if configuration else ())}"))
    else:
        run.plugged = suite, configuration


def _tell(trainer: Any, event: str, source: Any) -> None:
    run = TrainingRun.of(trainer)
    if run.plugged is None:
        return
    suite, configuration = run.plugged
    if event not in suite.events:
        return
    try:
        suite.handle(event, source)
    except (ValueError, TypeError, ImportError) as error:
        callback = suite.blame(error)
        if callback is None:
            raise
        # What only the run can tell, such as a monitor that it does not have.
        run.remove_fresh_folder()
        said = origins_of(callback).text(error)
        refuse(ConfigError(f"{configuration.origin(callback)}: {type(callback).__name__}: {said}"))


def _function(event: str) -> Callable[[Any], None]:
    def function(source: Any) -> None:
        _handle(event, source)

    function.__name__ = function.__qualname__ = event  # found by pickle as plugin.<event>
    return function


FUNCTIONS = {each.value: _function(each.value) for each in Event if not each.startswith(("on_predict", "on_export"))}
globals().update(FUNCTIONS)
