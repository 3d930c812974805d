"""Add callbacks to Ultralytics' own trainings. `yolo_callbacks.pth` imports this module if YOLO_CALLBACKS is set.

It runs at the start of every Python process that inherits the variable, and most of these processes never train. So it
is outside the package, whose import takes ten times as long. It imports the package when Ultralytics makes its first
model. At that time all of Ultralytics is imported, so that a module with callbacks may import it, and no run has a
folder yet.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # a name that type checkers know; importing typing would take longer than this whole module
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["VARIABLE", "install", "is_file", "refuse"]

VARIABLE = "YOLO_CALLBACKS"
_TARGET = "ultralytics.utils.callbacks.base"
_COMMANDS = ("yolo", "yolo.exe", "ultralytics", "ultralytics.exe")


def install() -> None:
    """Install a hook that adds the callbacks to Ultralytics' defaults, in this process and its child processes."""
    value = os.environ.get(VARIABLE)
    if not value:
        return
    if is_file(value):
        os.environ[VARIABLE] = os.path.abspath(value)  # model.tune() changes the working directory
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def is_file(value: str) -> bool:
    """Return whether a value of YOLO_CALLBACKS is the path of a file rather than names."""
    return value.lower().endswith((".yaml", ".yml")) or "/" in value or os.sep in value


def refuse(error: Exception) -> None:
    """Report a mistake of the user: raise it in a script, print one line in a `yolo` command.

    A command that does not train ends too, since the request of the variable cannot be fulfilled and a printed line is
    easily missed.

    Raises:
        SystemExit: In a `yolo` command, with exit code 2.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if os.path.basename(sys.argv[0]) not in _COMMANDS and getattr(spec, "name", None) != "ultralytics.cfg.__init__":
        # Without the error that is being handled as context: its text may contain a value of the environment.
        raise error from error.__cause__
    print(error, file=sys.stderr)
    raise SystemExit(2)


class _Finder:
    """A finder that finds the module of Ultralytics' default callbacks with the other finders, and hooks it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _TARGET:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find_spec = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find_spec(name, path, target) if find_spec else None
            if spec:
                spec.loader = _Loader(spec.loader) if spec.loader else None  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """The loader of a module, which calls the hook after the module is loaded."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        _hook(module)


def _hook(base: Any) -> None:
    """Register the functions before Ultralytics copies its default callbacks for a model or a worker's trainer."""
    get_default, add_integrations = base.get_default_callbacks, base.add_integration_callbacks

    def get_default_callbacks() -> Any:
        _register(base)
        return get_default()

    def add_integration_callbacks(instance: Any) -> Any:
        # An unpickled model, as in a trial of Ray, has never requested the default callbacks.
        if hasattr(instance, "optimizer_step") and os.environ.get(VARIABLE):
            _register(base)
            from yolo_callbacks.config import plugin

            plugin.reach(instance.callbacks)
        elif hasattr(instance, "tune_dir") and os.environ.get(VARIABLE):  # Ultralytics' own tuner
            from yolo_callbacks.config import plugin

            plugin.watch_searches(type(instance))
        return add_integrations(instance)

    base.get_default_callbacks = get_default_callbacks
    base.add_integration_callbacks = add_integration_callbacks


def _register(base: Any) -> None:
    if os.environ.get(VARIABLE):
        try:
            from yolo_callbacks.config import plugin

            plugin.register(base.default_callbacks)
        except (ImportError, ValueError) as error:
            refuse(error)


install()
