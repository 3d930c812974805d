"""Notice each validation of a training, and its final evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yolo_callbacks.trainer.epoch_progress import EpochProgress
from yolo_callbacks.trainer.method_patches import MethodPatches, call_and_log_error

__all__ = ["watch_validation"]


def watch_validation(methods: MethodPatches, progress: EpochProgress, before: Callable[[], None]) -> None:
    """Report each validation and the final evaluation, also where the user's trainer overrides these methods.

    Args:
        methods: The methods of the trainer.
        progress: Where to report.
        before: Is called before each validation.
    """
    validate, evaluate = methods.trainer.validate, methods.trainer.final_eval

    def watched_validate(*arguments: Any, **keywords: Any) -> Any:
        call_and_log_error(before, "the suite failed before a validation, training goes on")
        result = validate(*arguments, **keywords)
        call_and_log_error(progress.validation_done, "the suite failed after a validation, training goes on")
        return result

    def watched_evaluation(*arguments: Any, **keywords: Any) -> Any:
        progress.final_evaluation_started()
        try:
            return evaluate(*arguments, **keywords)
        finally:
            progress.final_evaluation_done()

    methods.replace("validate", watched_validate)
    methods.replace("final_eval", watched_evaluation)
