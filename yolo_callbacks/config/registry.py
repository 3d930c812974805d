"""Find callbacks by name: those of this package, those of other packages, and `package.module:Class`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import yolo_callbacks
from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.utils.messages import text_of
from yolo_callbacks.utils.unknown_arguments import hint

__all__ = [
    "EPOCHS",
    "GROUP",
    "Argument",
    "arguments",
    "find",
    "offered",
    "only_python",
    "own",
    "shown_type",
    "summary",
    "takes_any",
    "takes_epochs",
]

GROUP = "yolo_callbacks"

EPOCHS = "epochs"
"""What chooses the epochs of any callback in a file: `Callback.in_epochs`."""

# The classes of this package that can be used in Python only, and why.
_ONLY_PYTHON = {
    "MonitorCallback": "it is a base class. Name a class of your own that overrides decide: package.module:Class",
    "LambdaCallback": "its arguments are functions. Attach it in Python: attach(model, LambdaCallback(on_epoch=…))",
    "OptunaPruning": "its argument is a trial of Optuna. Attach it in Python: attach(model, OptunaPruning(trial))",
}
# Names of other libraries, with what they are called here.
_ELSEWHERE = {
    "ModelCheckpoint": "SaveBest",
    "CheckpointSaver": "SaveBest",
    "PyTorchLightningPruningCallback": "OptunaPruning",
    "TuneReportCallback": "RayTuneReporter",
    "TuneReportCheckpointCallback": "RayTuneReporter",
    "TerminateOnNaN": "EarlyStopping, which stops at a value that is not finite",
    "TerminateOnNan": "EarlyStopping, which stops at a value that is not finite",
    "EarlyStopper": "EarlyStopping",
    "BackboneFinetuning": "Unfreeze",
    "BaseFinetuning": "Unfreeze",
    "LearningRateScheduler": "LearningRateSchedule",
    "TensorBoard": "TensorBoardLogger",
    "CSVLogger": "JsonlLogger",
    "WandbCallback": "WandbLogger",
    "WandbMetricsLogger": "WandbLogger",
    "MLFlowLogger": "MLflowLogger",
    "MlflowLogger": "MLflowLogger",
    "MlflowCallback": "MLflowLogger",
}
_ENTRY = re.compile(r"^    \*{0,2}(\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)
_DEFAULT = re.compile(r"\s*Defaults to .*", re.DOTALL)


@dataclass(frozen=True)
class Argument:
    """An argument of a callback that can be given by name.

    Attributes:
        name: The name.
        default: The default; `inspect.Parameter.empty` if the argument is required.
        annotation: The type.
        description: The description in the docstring of the class, in one line; with the default only where it is
            `None` and the docstring says what that means.
    """

    name: str
    default: Any
    annotation: Any
    description: str

    @property
    def required(self) -> bool:
        """Whether the argument has no default."""
        return self.default is inspect.Parameter.empty


def own() -> dict[str, type[Callback]]:
    """Return the callbacks of this package by name."""
    exported = ((name, getattr(yolo_callbacks, name)) for name in yolo_callbacks.__all__ if name not in _ONLY_PYTHON)
    return {name: found for name, found in exported if _is_callback(found)}


def only_python() -> dict[str, type[Callback]]:
    """Return the callbacks of this package that a file cannot name, by name."""
    return {name: getattr(yolo_callbacks, name) for name in _ONLY_PYTHON}


def offered() -> dict[str, metadata.EntryPoint]:
    """Return the callbacks of installed packages by name, except those with the name of one of this package."""
    return {point.name: point for point in metadata.entry_points(group=GROUP) if point.name not in own()}


def find(name: str, folder: Path) -> type[Callback]:
    """Return the callback class of a name.

    Args:
        name: The name of a callback of this package, the name of an entry point, or `package.module:Class`.
        folder: The folder of modules that are not found elsewhere.

    Raises:
        ValueError: If there is no callback of that name, its module cannot be imported, or it is not a callback.
    """
    ours = own()
    found: Any = ours.get(name)
    if found is None and name.removeprefix("yolo_callbacks:") in _ONLY_PYTHON:
        raise ValueError(f"{name} cannot be used here: {_ONLY_PYTHON[name.removeprefix('yolo_callbacks:')]}")
    if found is None:
        points = offered()
        if name in points:
            found = _load(name, points[name].value, folder)
        elif name.partition(":")[0] in ours:
            raise ValueError(f"{name}: arguments need a YAML file, which `yolo-callbacks init` writes")
        elif ":" in name:
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            found = _load(name, name, folder)
        else:
            names = [*ours, *points]
            module, _, kind = name.rpartition(".")
            own_class = f"; a class of your own is written {module or 'module'}:{kind}"
            known = _ELSEWHERE.get(name)
            advice = f": here that is {known}" if known else hint(name, names)
            raise ValueError(f"no callback is called {name!r}{advice} (there are {', '.join(names)}{own_class})")
    if not _is_callback(found):
        raise ValueError(f"{name} is not a subclass of yolo_callbacks.Callback, it is {_shown(found)}")
    return found  # type: ignore[no-any-return]


def arguments(callback: type[Callback]) -> list[Argument]:
    """Return the arguments of a callback that can be given by name."""
    described = dict(_described(callback))
    return [
        Argument(name, parameter.default, parameter.annotation, _text(described.get(name, ""), parameter.default))
        for name, parameter in _parameters(callback).items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def takes_any(callback: type[Callback]) -> bool:
    """Return whether a callback accepts arguments of any name, which it passes on."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(callback).values())


def takes_epochs(callback: type[Callback]) -> bool:
    """Return whether `epochs` chooses the epochs of a callback: not where it has an argument of that name."""
    return all(argument.name != EPOCHS for argument in arguments(callback))


def summary(callback: type[Callback]) -> str:
    """Return the first sentence of a callback's docstring."""
    return (inspect.getdoc(callback) or "").partition("\n\n")[0].replace("\n", " ")


def _text(description: str, default: object) -> str:
    """Return a description without its default, which is shown beside it; with what `None` means."""
    return _DEFAULT.sub("", description) if default is not None or "`None`." in description else description


def _load(name: str, reference: str, folder: Path) -> object:
    module, _, path = reference.partition(":")
    found: object = None
    try:
        found = import_module(module)
        for attribute in path.split("."):
            found = getattr(found, attribute)
    except BaseException as error:  # a module may raise anything, or call sys.exit
        advice = ""
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            advice = f" (not installed, and not in {folder})"
        elif isinstance(error, AttributeError) and inspect.ismodule(found):
            advice = hint(path, [name for name, value in vars(found).items() if _is_callback(value)])
        raise ValueError(f"{name} cannot be imported: {type(error).__name__}: {text_of(error)}{advice}") from error
    return found


def _shown(found: object) -> str:
    try:
        return repr(found)
    except Exception:  # a foreign `__repr__` may raise anything
        return f"an object of type {type(found).__name__}"


def shown_type(annotation: Any) -> str:
    """Return the types that an argument may have, for a message; empty if they are not known."""
    if annotation in (None, inspect.Parameter.empty, Any):
        return ""
    if isinstance(annotation, type):
        return annotation.__name__
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(annotation))


def _is_callback(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Callback) and found is not Callback


def _parameters(callback: type[Callback]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(callback, eval_str=True).parameters)
    except Exception:  # types that only a type checker imports, or that only a later Python supports
        return dict(inspect.signature(callback).parameters)


def _described(callback: type[Callback]) -> Iterator[tuple[str, str]]:
    _, _, section = (inspect.getdoc(callback) or "").partition("\nArgs:\n")
    for name, text in _ENTRY.findall(section.partition("\n\n")[0]):
        yield name, " ".join(text.split())
