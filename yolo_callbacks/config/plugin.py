"""Give every training of this process the callbacks of YOLO_CALLBACKS, without changes in the user's script.

Ultralytics copies its default callbacks for every model and trainer, compares them to find out whether a user has added
any, and pickles them for the workers of a multi-GPU training. So this module adds plain functions, one for each event,
which are pickled by name. Their data are stored on the trainer.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from _yolo_callbacks_boot import VARIABLE, refuse
from yolo_callbacks.callbacks.events import Event
from yolo_callbacks.config.construction import clash_text
from yolo_callbacks.config.loading import Configuration, load
from yolo_callbacks.config.yaml_file import ConfigError
from yolo_callbacks.metrics.sources import FOR_A_SCRIPT
from yolo_callbacks.suite.handlers import is_attached
from yolo_callbacks.suite.next_step import PLUGIN_ATTRIBUTE
from yolo_callbacks.suite.suite import Suite
from yolo_callbacks.suite.training_checks import check_training
from yolo_callbacks.trainer.fresh_folder import remove_fresh_folder
from yolo_callbacks.trainer.search import watch_searches
from yolo_callbacks.trainer.training_calls import before_training
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.origins import origins_of

__all__ = ["FUNCTIONS", "register", "watch_searches"]

# For each validated value of the variable, the callbacks made from it, until a training takes them.
_loaded: dict[str, Configuration | None] = {}
_trainers: weakref.WeakSet[Any] = weakref.WeakSet()
# A trainer holds its suite and configuration as PLUGIN_ATTRIBUTE. Not in a WeakKeyDictionary: a suite refers to its
# trainer, and an entry whose value refers to its key is never freed.


def register(default_callbacks: dict[str, list[Callable[[Any], None]]]) -> None:
    """Validate YOLO_CALLBACKS, then add the functions to Ultralytics' lists. It may be called several times.

    Raises:
        ConfigError: If YOLO_CALLBACKS, or the file that it names, is wrong.
    """
    before_training(check_training)
    value = os.environ[VARIABLE]
    if value not in _loaded:
        _loaded[value] = _load(value)
    for event, function in FUNCTIONS.items():
        functions = default_callbacks.setdefault(event, [])
        if function not in functions:
            functions.insert(0, function)  # at the front: `Model.reset_callbacks` keeps the first function


def _load(value: str) -> Configuration:
    """Load the callbacks; where a file is missing, name the variable too."""
    try:
        return load(value)
    except ConfigError as error:
        if isinstance(error.__cause__, FileNotFoundError) and not os.path.lexists(value):
            raise ConfigError(f"{VARIABLE}={error}") from error.__cause__
        raise


def reach(callbacks: dict[str, list[Callable[[Any], None]]]) -> None:
    """Add the functions to the lists of a trainer that has none of them."""
    if any(function in callbacks.get(event, ()) for event, function in FUNCTIONS.items()):
        return
    for event, function in FUNCTIONS.items():
        callbacks.setdefault(event, []).insert(0, function)


def _handle(event: str, source: Any) -> None:
    if event.startswith("on_val"):  # a validator does not know its trainer, but a suite knows its validator
        for trainer in list(_trainers):
            _dispatch(trainer, event, source)
        return
    if source not in _trainers:
        _trainers.add(source)
        _plug_in(source)
    elif event == "on_pretrain_routine_end" and is_attached(source):
        vars(source).pop(PLUGIN_ATTRIBUTE, None)  # a callback of the previous event has attached a suite
    _dispatch(source, event, source)


def _plug_in(trainer: Any) -> None:
    """Give a trainer its suite, unless the user's script has attached one."""
    value = os.environ.get(VARIABLE)
    if not value:
        return
    if is_attached(trainer):
        LOGGER.info(f"Using the callbacks attached in the script; {VARIABLE} is ignored")
        return
    run = TrainingRun.of(trainer)
    configuration: Configuration | None = None
    try:
        configuration = _loaded.get(value) or _load(value)
        _loaded[value] = None
        suite = configuration.suite(run.task)
    except ConfigError as error:
        remove_fresh_folder(run)
        refuse(error)
    except ValueError as error:  # a conflict for the task of this model only
        remove_fresh_folder(run)
        where = configuration.origin(configuration.callbacks[0]) if configuration else VARIABLE
        refuse(ConfigError(f"{where}: {clash_text(error, configuration.callbacks if configuration else ())}"))
    else:
        setattr(trainer, PLUGIN_ATTRIBUTE, (suite, configuration))


def _dispatch(trainer: Any, event: str, source: Any) -> None:
    plugged: tuple[Suite, Configuration] | None = vars(trainer).get(PLUGIN_ATTRIBUTE)
    if plugged is None:
        return
    suite, configuration = plugged
    if event not in suite.events:
        return
    try:
        suite.handle(event, source)
    except (ValueError, TypeError, ImportError) as error:
        callback = suite.blame(error)
        if callback is None:
            raise
        # A mistake that only the run can find, such as a monitor that does not exist in it.
        remove_fresh_folder(TrainingRun.of(trainer))
        origins = origins_of(callback)
        text = origins.text(error).replace(FOR_A_SCRIPT, "")
        place = origins.place_of(text) or configuration.origin(callback)
        refuse(ConfigError(f"{place}: {type(callback).__name__}: {text}"))


def _function(event: str) -> Callable[[Any], None]:
    def function(source: Any) -> None:
        _handle(event, source)

    function.__name__ = function.__qualname__ = event  # pickle finds it as plugin.<event>
    return function


FUNCTIONS = {each.value: _function(each.value) for each in Event if not each.startswith(("on_predict", "on_export"))}
globals().update(FUNCTIONS)
