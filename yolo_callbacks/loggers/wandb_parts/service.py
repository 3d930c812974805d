"""Start and kill the process of wandb, `wandb-core`, which sends the data of all runs of this process.

wandb is imported inside functions only: a process that does not log to it does not wait for the import.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

__all__ = ["BOUNDS", "environment", "import_bounded", "kill_service"]

# Read when wandb starts; measured with wandb 0.31.0. Without them a dead server costs 10 s more at the start (two
# look-ups of 5 s), 19 s for each table or artifact, and 10 to 20 s at the exit of the interpreter, where wandb's own
# error reports go to the same server.
BOUNDS = {"WANDB_X_DISABLE_VIEWER": "true", "WANDB_HTTP_TIMEOUT": "3", "WANDB_ERROR_REPORTING": "false"}
_SERVICE = "wandb-core"


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that the user has not set, for the time of a block."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def import_bounded() -> None:
    """Import wandb with the bounds, some of which it reads in its import."""
    if "wandb" not in sys.modules:
        with environment(BOUNDS):
            import wandb  # noqa: F401


def kill_service() -> None:
    """Kill the wandb process of this process, which does not answer; a call that waits for it raises an error then."""
    import psutil

    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.name() == _SERVICE:
                child.kill()
    import wandb

    # Otherwise wandb 0.31.0 waits for the process at the exit of the interpreter, or prints a traceback there.
    with contextlib.suppress(Exception, SystemExit):
        wandb.teardown()


def _after_fork() -> None:
    """Leave the wandb process of the parent running at the exit of a fork, and keep wandb's temporary folder."""
    setup = sys.modules.get("wandb.sdk.wandb_setup")
    connection = getattr(getattr(setup, "_singleton", None), "_connection", None)
    unregister = getattr(connection, "_cleanup", None)  # what wandb 0.31.0 does with its process at exit
    if unregister is not None:
        unregister()
    private = sys.modules.get("wandb.sdk.data_types._private")
    folder = getattr(private, "MEDIA_TMP", None)
    if folder is None:
        return
    atexit.unregister(folder.cleanup)
    finalizer = getattr(folder, "_finalizer", None)
    if finalizer is not None:
        finalizer.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
