"""Find the validation images on which the model fails, and the labels that may be wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.failing_parts.findings import Finding, as_json, describe, suspected_labels
from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.decisions.image_history import Changes, ImageHistory
from yolo_callbacks.decisions.matching import Counts
from yolo_callbacks.decisions.validation_schedule import EpochPeriod
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import Monitor
from yolo_callbacks.trainer.image_results import ImageResult, ImageResults
from yolo_callbacks.trainer.results import mean_f1_confidence
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.trainer.validation_tap import VALIDATED_TASKS
from yolo_callbacks.utils.arguments import validate_bool, validate_float, validate_int
from yolo_callbacks.utils.epoch_lines import copy_lines, lines_until, write_lines
from yolo_callbacks.utils.fields import Field, flag, mapping, number, optional, read_fields, whole
from yolo_callbacks.utils.files import LOGGER, append_line, parse_json, to_json

__all__ = ["FailingImages"]

_FILE = "failures.jsonl"
_SCALARS = ("images", "f1", "flips", "flips_since_best", "never_learned", "suspects")
# Of an image in a line, as far as a resumed run needs it.
_IMAGE = {"right": Field(flag), "forgotten": Field(whole(0), default=0)}
_LINE = {"images": Field(mapping(lambda value: read_fields(value, _IMAGE))), "best": Field(flag)}


class FailingImages(Callback):
    """Find the images of each validation on which the model fails, those that became worse, and wrong labels.

    Validation compares the predictions of each image with its labels anyway; this callback counts the results image by
    image, at the one confidence with the highest mean F1 of that validation. No image passes through a model for it.
    Objects are compared as the task compares them: by the IoU of boxes, masks or rotated boxes, by the OKS of
    keypoints, or by the class of a whole image.

    An image is right from an F1 of 0.6 on and wrong below 0.4; between them it stays what it was. It flips where it was
    right and is wrong now, and is forgotten as often as it flips.

    A label is suspected where a confident prediction contradicts it: `overlooked` (no label is there), `badly located`
    (the label of that class is near) or `swapped` (the label has another class). These are the kinds of ObjectLab
    (Tkachenko et al., 2023). cleanlab, which implements it, compares all predictions of a data set at once, and would
    need to keep them.

    Args:
        top: How many images and suspected labels to list in a line. Defaults to `50`.
        iou: The similarity from which on a prediction matches an object, from 0 to 1. Defaults to `0.5`.
        every: Epochs from one validation that is compared to the next; the last epoch always is. Defaults to `1`.
        history: Whether to keep the line of every epoch; otherwise only those of the last and the best epoch are kept.
            Defaults to `True`.

    Attributes:
        path: The file, None before the first epoch.
        worst: The images of the last comparison that fail most, the worst first, as in the file.
        suspects: The labels that may be wrong, the most certain first, as in the file.
        confusions: How often an object of one class (`label`) is taken for another one (`predicted`), the most frequent
            first, as in the file.
        never_learned: The images that were right in no epoch.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `top` or `every` is less than 1, or `iou` is not between 0 and 1.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import FailingImages, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, FailingImages(top=20))

    Logs `failing/images` (how many are wrong), `failing/f1` (the mean over images), `failing/flips` (right in the last
    comparison, wrong now), `failing/flips_since_best`, `failing/never_learned` and `failing/suspects`. Writes
    `failures.jsonl` in the run's folder, one line an epoch: `epoch`, `confidence` (null where nothing is detected),
    `root` (the folder of the data set), `images` with `tp`, `fp`, `fn` and `f1` of each, by its path in that folder,
    and the lists `worst`, `flips`, `flips_since_best`, `never_learned`, `forgotten`, `suspects` and `confusions`. The
    line of the final evaluation has `final` and no `epoch`. The report has a gallery of these images.
    """

    every_rank: ClassVar[bool] = True

    def __init__(self, top: int = 50, *, iou: float = 0.5, every: int = 1, history: bool = True) -> None:
        self.top = validate_int("top", top, minimum=1)
        self.iou = validate_float("iou", iou)
        if not 0.0 < self.iou < 1.0:
            raise ValueError(f"iou must be between 0 and 1, received {iou!r}")
        self.every = validate_int("every", every, minimum=1)
        self.history = validate_bool("history", history)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.path: Path | None = None
        self.worst: list[dict[str, Any]] = []
        self.suspects: list[dict[str, Any]] = []
        self._suspected = 0  # `suspects` has the first ones only
        self.confusions: list[dict[str, Any]] = []
        self.never_learned: list[str] = []
        self._results = ImageResults(self._receive)
        self._images = ImageHistory()
        self._metric = Monitor()
        self._epoch = 0
        self._best: float | None = None
        self._best_line = ""
        self._period, self._chosen = EpochPeriod(self.every), True
        self._outcome: str | None = None

    def output_files(self, task: str) -> set[str]:
        """Return the file of the lines, and the keys of its scalars."""
        return {_FILE, "failing/*"}

    def logged_scalars(self, task: str) -> tuple[str, ...]:
        """Return the keys of its scalars, for monitors."""
        return tuple(f"failing/{name}" for name in _SCALARS)

    def validate(self, run: TrainingRun) -> bool:
        """Find the main metric of the task, which says which epoch is the best."""
        if run.task not in VALIDATED_TASKS:
            self._outcome = f"nothing: the validation of the task {run.task!r} compares no objects"
            return True
        return not run.is_main or self._metric.bind(run.metric_names())

    # Events -----------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Choose whether the validation of this epoch is compared."""
        run = TrainingRun.of(trainer)
        self._chosen = self._period.is_due(run.epoch, run.planned_epochs)

    def on_val_start(self, validator: Any) -> None:
        """Listen to the validation."""
        self._results.listen(validator, collect=self._chosen or not validator.training)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Compare the epoch with earlier ones, write its line, and log the scalars."""
        found, self._results.found = self._results.found, {}
        if self._chosen and record.validated:
            self._period.done = record.epoch
        if not (run.is_main and record.validated and found):
            return
        confidence = mean_f1_confidence(run.validator.metrics, run.task)
        counts = _counts(found, confidence, run.task)
        value = self._metric.value(record)
        detects = confidence is not None or run.task == "classify"
        best = detects and value is not None and (self._best is None or value > self._best)
        self._epoch, self._best = record.epoch, value if best else self._best
        changes = self._images.update({path: each.f1 for path, each in counts.items()}, best=best)
        self._describe(found, counts, confidence, run)
        line = {"epoch": record.epoch, "best": best, **self._content(counts, confidence, changes, self._images.right)}
        self._write(run, line, record.epoch)
        self._log(record, counts, changes)
        at = "" if confidence is None else f" at confidence {confidence:.2f}"
        failing = f"{counted(len(counts) - len(self._images.right), 'image')} of {len(counts)} failing in epoch"
        parts = [f"{failing} {record.epoch}{at}", counted(self._suspected, "suspected label")]
        for pair in self.confusions[:1]:
            parts.append(f"{pair['label']} taken for {pair['predicted']}: {counted(pair['count'], 'time')}")
        self._outcome = f"{', '.join(parts)}; see {_FILE}"

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Write the line of the final evaluation, which is no epoch: nothing flips in it."""
        found, self._results.found = self._results.found, {}
        if not (run.is_main and found):
            return
        confidence = mean_f1_confidence(run.validator.metrics, run.task)
        counts = _counts(found, confidence, run.task)
        self._describe(found, counts, confidence, run)
        right = self._images.right_alone({path: each.f1 for path, each in counts.items()})
        self.never_learned = [path for path in self.never_learned if path not in right]
        self._write(run, {"final": True, **self._content(counts, confidence, Changes(), right)}, record.epoch + 1)

    def outcome(self) -> str | None:
        """Return how many images fail, and where they are listed."""
        return self._outcome

    # A resume ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the last epoch that was compared, and the best value of the main metric; the rest is in the file."""
        return {"epoch": self._epoch, "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the epoch and the best value."""
        found = read_fields(
            state, {"epoch": Field(whole(), default=0), "best": Field(optional(number()), default=None)}
        )
        self._epoch, self._best = found["epoch"], found["best"]

    def resume(self, run: TrainingRun) -> None:
        """Take over the images of the lines before the resume, also those of a run that continues in another folder."""
        if not run.is_main:
            return
        if run.moved_from is not None:
            copy_lines(run.moved_from / _FILE, run.save_dir / _FILE, run.completed_epochs)
        lines = lines_until(run.save_dir / _FILE, run.completed_epochs)
        for line in lines:
            try:
                content = read_fields(parse_json(line), _LINE)
            except ValueError as error:  # a line of another program
                LOGGER.warning(f"{type(self).__name__}: a line of {_FILE} cannot be read ({error}), it is left out")
                continue
            images = content["images"]
            right = {path for path, image in images.items() if image["right"]}
            forgotten = {path: image["forgotten"] for path, image in images.items() if image["forgotten"]}
            self._images.restore(right, images.keys() - right, forgotten)
            if content["best"]:
                self._images.right_at_best, self._best_line = right, line

    def finalize(self, run: TrainingRun) -> None:
        """Give the validator its own methods back."""
        self._results.forget()

    # Parts ------------------------------------------------------------------------------------------------------------

    def _receive(self, image: ImageResult) -> Finding:
        return Finding.of(image, self.iou)

    def _describe(
        self, found: Mapping[str, Finding], counts: Mapping[str, Counts], confidence: float | None, run: TrainingRun
    ) -> None:
        """Set the attributes that say which images fail."""
        names = run.names
        failing = [path for path, each in counts.items() if each.fp or each.fn]
        failing.sort(key=lambda path: (counts[path].f1, -counts[path].fp - counts[path].fn, path))
        self.worst = [describe(path, found[path], counts[path], confidence, names) for path in failing[: self.top]]
        lowest = 0.5 if run.task == "classify" else confidence
        labels = (
            []
            if lowest is None
            else [label for path in found for label in suspected_labels(path, found[path], self.iou, lowest, names)]
        )
        self._suspected = len(labels)
        self.suspects = sorted(labels, key=lambda label: (-label["score"], label["image"]))[: self.top]
        pairs = Counter(
            pair for each in found.values() for pair in each.confusions(self.iou, _lowest(confidence, run.task))
        )
        self.confusions = [
            {"label": names.get(label, str(label)), "predicted": names.get(taken, str(taken)), "count": count}
            for (label, taken), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[: self.top]
        ]
        learned = self._images.right | self._images.forgotten.keys()
        self.never_learned = sorted(counts.keys() - learned)

    def _content(
        self, counts: Mapping[str, Counts], confidence: float | None, changes: Changes, right: Set[str]
    ) -> dict[str, Any]:
        """Return the line of a validation without its epoch."""
        forgotten = self._images.forgotten
        images = {
            path: {
                **as_json(counts[path]),
                "right": path in right,
                **({"forgotten": forgotten[path]} if path in forgotten else {}),
            }
            for path in sorted(counts)
        }
        often = sorted(forgotten, key=lambda path: (-forgotten[path], path))[: self.top]
        return {
            "confidence": confidence,
            "root": self._results.root,
            "worst": self.worst,
            "flips": list(changes.since_last),
            "flips_since_best": list(changes.since_best),
            "never_learned": self.never_learned[: self.top],
            "forgotten": {path: forgotten[path] for path in often},
            "suspected": self._suspected,
            "suspects": self.suspects,
            "confusions": self.confusions,
            "images": images,
        }

    def _write(self, run: TrainingRun, content: Mapping[str, Any], first_epoch: int) -> None:
        line, path = to_json(content), run.save_dir / _FILE
        run.failures = content
        if self.path is None:
            self.path = path
            write_lines(path, lines_until(path, first_epoch - 1) if run.completed_epochs else [])
        if self.history:
            append_line(path, line)
            return
        lines = [self._best_line] if self._best_line and not content.get("best") else []
        write_lines(path, [*lines, f"{line}\n"])
        if content.get("best"):
            self._best_line = f"{line}\n"

    def _log(self, record: EpochRecord, counts: Mapping[str, Counts], changes: Changes) -> None:
        values = (
            len(counts) - len(self._images.right),
            sum(each.f1 for each in counts.values()) / len(counts),
            len(changes.since_last),
            len(changes.since_best),
            len(self.never_learned),
            self._suspected,
        )
        for name, value in zip(_SCALARS, values, strict=True):
            record.log(f"failing/{name}", value)


def _counts(found: Mapping[str, Finding], confidence: float | None, task: str) -> dict[str, Counts]:
    """Return the counts of each image; the class of a whole image is predicted at any confidence."""
    lowest = 0.0 if task == "classify" else confidence
    return {path: finding.matches.counts(lowest) for path, finding in found.items()}


def _lowest(confidence: float | None, task: str) -> float:
    """Return the lowest confidence of a prediction that counts; above all where nothing is detected."""
    if task == "classify":
        return 0.0
    return math.inf if confidence is None else confidence
