"""Define the class of the trials of `ray_trainable`. It imports Ray, unlike the rest of the package."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ray import tune
from ray.tune.result import DONE, RESULT_DUPLICATE, SHOULD_CHECKPOINT

from yolo_callbacks.utils.ray_trial import Report, ThreadTrial

__all__ = ["TrainingTrainable"]


class TrainingTrainable(tune.Trainable):  # type: ignore[misc]
    """A trial of Ray Tune whose function runs in a thread, from report to report.

    A class, and not Ray's own wrapper of functions, because Ray waits for the `cleanup` of a class.

    Attributes:
        function: The function that trains.
    """

    function: ClassVar[Callable[[dict[str, Any]], Any]]

    def setup(self, config: dict[str, Any]) -> None:
        """Begin a trial: the function is not called yet."""
        self._trial = ThreadTrial(self.trial_id, type(self).function, dict(config))
        self._reported: Report | None = None
        self._following: Report | None = None

    def step(self) -> dict[str, Any]:
        """Let the training go on to its next report."""
        report = self._following or self._trial.next_report()
        self._following = None
        if report is None:
            return {RESULT_DUPLICATE: True, DONE: True}  # the last result again: it stays that of the trial
        self._reported = report
        result = {**report.metrics, SHOULD_CHECKPOINT: report.checkpoint}
        if report.last:
            # A scheduler may stop a trial at any result: at the last one nothing is left that a stop can cut short.
            self._following = self._trial.next_report()
            if self._following is None:
                returned = self._trial.returned
                result = {**(returned if isinstance(returned, Mapping) else {}), **result, DONE: True}
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the checkpoint of the last report: the training waits there."""
        if self._reported is not None:
            self._reported.write(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Keep a copy of a checkpoint for the training, which has not begun."""
        folder = Path(tempfile.mkdtemp(prefix="yolo-callbacks-"))
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
        self._trial.checkpoint = folder

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this process, for `reuse_actors=True`."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Let the training conclude, and wait for it."""
        self._trial.stop()
        if self._trial.checkpoint is not None:  # the training has not taken it
            shutil.rmtree(self._trial.checkpoint, ignore_errors=True)
