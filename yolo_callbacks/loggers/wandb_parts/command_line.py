"""Keep the credentials of the command line out of what W&B stores of a run.

wandb is imported inside the function only: a process that does not log to it does not wait for the import.
"""

from __future__ import annotations

import sys

from yolo_callbacks.utils.command_line import command_line
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.redaction import clean_command_line

__all__ = ["hide_command_line"]


def hide_command_line() -> None:
    """Make wandb store the arguments of the user's command, without credentials; call it before `wandb.init`.

    wandb 0.31.0 has no setting for the arguments: it reads `sys.argv` in a property of its settings, each time that it
    sends the settings to its process. This function replaces that property until the process ends, also for runs that
    the user opens. `sys.argv` itself is not changed, since other threads may read it.
    """
    if clean_command_line(sys.argv[1:]) == sys.argv[1:] == command_line()[1:]:
        return
    from wandb import Settings

    original = getattr(Settings, "_args", None)
    if not isinstance(original, property) or original.fget is None:
        LOGGER.warning("W&B: this version of wandb may store the arguments of the command with their credentials")
        return
    read = original.fget
    if getattr(read, "_yolo_callbacks", False):
        return

    def cleaned(self: Settings) -> list[str]:
        found = [str(argument) for argument in read(self)]
        return clean_command_line(command_line()[1:] if found == sys.argv[1:] else found)

    cleaned._yolo_callbacks = True  # type: ignore[attr-defined]
    Settings._args = property(cleaned)
