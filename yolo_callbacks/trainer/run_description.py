"""Describe a run for loggers, at its start and at its end."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.hardware import describe_hardware
from yolo_callbacks.trainer.results import mean_f1_confidence, numbers, read_results
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.redaction import clean_checkpoint
from yolo_callbacks.utils.version import versions

__all__ = [
    "best_confidence",
    "checkpoint_facts",
    "confusion_matrix",
    "curves",
    "describe",
    "describe_training",
    "labelled_losses",
    "plots",
    "shareable",
    "training_losses",
]


def describe(run: TrainingRun) -> dict[str, Any]:
    """Return arguments, data set, model size, versions and git state; complete from `on_train_start` on."""
    trainer = run.trainer
    names = run.names
    model = getattr(trainer.model, "module", trainer.model)
    return {
        **vars(trainer.args),
        "dataset": {
            "classes": len(names),
            "names": {str(index): name for index, name in names.items()},
            "train": _size(trainer.train_loader.dataset),
            "val": _size(trainer.test_loader.dataset),
        },
        "model_size": {"parameters": sum(parameter.numel() for parameter in model.parameters())},
        "versions": versions(),
        "git": _git(),
    }


def describe_training(run: TrainingRun) -> dict[str, Any]:
    """Return what the arguments of a training do not say, for its report; complete from `on_train_start` on.

    These are `hardware`; `dataset`, the number of images and boxes of each split; `optimizer`, its name and its rates
    before warm-up; `batch`, which Ultralytics may have chosen; and `architecture`, the model's YAML file, whose name a
    resume loses. What a trainer of the user lacks is left out.
    """
    trainer = run.trainer
    readers: dict[str, Callable[[], Any]] = {
        "hardware": lambda: describe_hardware(trainer),
        "dataset": lambda: {
            "classes": len(run.names),
            "train": _size(trainer.train_loader.dataset),
            "val": _size(trainer.test_loader.dataset),
        },
        "optimizer": lambda: {
            "name": type(trainer.optimizer).__name__,
            "rates": sorted({float(group.get("initial_lr", group["lr"])) for group in trainer.optimizer.param_groups}),
        },
        "batch": lambda: run.batch_size,
        "architecture": lambda: Path(trainer.model.yaml["yaml_file"]).name,
    }
    found: dict[str, Any] = {}
    for name, read in readers.items():
        with contextlib.suppress(Exception):  # a trainer of the user may lack any of these
            found[name] = read()
    return found


def plots(run: TrainingRun, *, pictures: bool) -> dict[str, Path]:
    """Return the plots that Ultralytics drew, by name; plots that show photographs only with `pictures`."""
    drawn = [Path(path) for owner in (run.trainer, run.validator) for path in getattr(owner, "plots", {})]
    shown = [path for path in drawn if pictures or not path.stem.startswith(("train_batch", "val_batch"))]
    return {path.stem: path for path in shown if path.is_file()}


def checkpoint_facts(run: TrainingRun, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics and the epoch of one of the run's own checkpoints.

    Stripping removes the epoch from a checkpoint. So the epoch is that of the row of results.csv with the same metrics.
    """
    metrics = numbers(checkpoint.get("train_metrics") or {})
    rows: list[dict[str, float]] = []
    with contextlib.suppress(OSError):  # a trainer of the user may write none
        rows = read_results(Path(run.trainer.csv))
    epochs = [int(row["epoch"]) for row in rows if _same(row, metrics)]
    chosen = run.choice or {"monitor": "fitness", "score": metrics.get("fitness")}
    return {"epoch": epochs[0] if epochs else None, **chosen, **metrics}


def shareable(path: Path, checkpoint: Mapping[str, Any], folder: Path) -> Path:
    """Return a checkpoint that may be published: a copy without credentials where the run's own contains some.

    Args:
        path: The run's own checkpoint, which is not changed.
        checkpoint: The content of that checkpoint.
        folder: The folder for a copy, which gets the same name.
    """
    cleaned = clean_checkpoint(checkpoint)
    if cleaned is None:
        return path
    import torch

    copy = folder / path.name
    torch.save(cleaned, copy)
    return copy


def training_losses(trainer: Any) -> Any:
    """Return the losses of a batch as the trainer has them: on the device, and a new object in each batch."""
    return trainer.loss_items


def curves(run: TrainingRun) -> list[tuple[str, Any, dict[str, Any], str]]:
    """Return every curve of the last validation: its title, x, its y by name (mean and classes), and the name of x."""
    results: Any = getattr(run.validator, "metrics", None)
    titles = getattr(results, "curves", None) or []
    if not titles or not len(getattr(results, "ap_class_index", ())):
        return []
    names = [str(results.names[index]) for index in results.ap_class_index]
    found = []
    for title, (x, by_class, x_title, _) in zip(titles, getattr(results, "curves_results", ()), strict=False):
        found.append((title, x, {"mean": by_class.mean(0), **dict(zip(names, by_class, strict=False))}, x_title))
    return found


def best_confidence(run: TrainingRun) -> float | None:
    """Return the confidence with the highest mean F1 over the classes in the last validation, or None.

    It is that of the masks or poses where the task has them: the one at which `FailingImages` counts.
    """
    with contextlib.suppress(Exception):  # the metrics of a validator of the user may have any form
        return mean_f1_confidence(run.validator.metrics, run.task)
    return None


def confusion_matrix(run: TrainingRun) -> Any:
    """Return the confusion matrix of the last validation, predicted by actual; None where it was not counted."""
    matrix = getattr(getattr(run.validator, "confusion_matrix", None), "matrix", None)
    return matrix if matrix is not None and matrix.any() else None


def labelled_losses(run: TrainingRun, losses: Any) -> dict[str, float]:
    """Return the result of `training_losses` as numbers by name."""
    labelled: Mapping[str, Any] = run.trainer.label_loss_items(losses, prefix="batch")
    return {str(name): float(value) for name, value in labelled.items()}


def _same(row: Mapping[str, float], metrics: Mapping[str, float]) -> bool:
    """Return whether a row of results.csv has these metrics; results.csv has six digits."""
    pairs = [(row[name], value) for name, value in metrics.items() if name in row]
    same = [math.isclose(a, b, rel_tol=1e-5) or (math.isnan(a) and math.isnan(b)) for a, b in pairs]
    return bool(same) and all(same)


def _size(dataset: Any) -> dict[str, int]:
    labels = getattr(dataset, "labels", None)
    if labels is None:  # classification has one class for each image, and no boxes
        return {"images": len(dataset)}
    return {"images": len(labels), "boxes": sum(len(label["cls"]) for label in labels)}


def _git() -> dict[str, str | None]:
    """Return the git state of the working directory; Ultralytics' own `GIT` is that of its installation."""
    from ultralytics.utils.git import GitRepo

    repository = GitRepo(Path.cwd())
    return {name: getattr(repository, name, None) for name in ("branch", "commit", "origin")}
