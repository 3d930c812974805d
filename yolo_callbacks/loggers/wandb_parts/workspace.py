"""Build and publish a W&B workspace for the keys that `WandbLogger` logs, with the library wandb-workspaces."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from yolo_callbacks.metrics.scalars import MAX_CLASSES
from yolo_callbacks.utils.files import LOGGER

if TYPE_CHECKING:
    from wandb_workspaces import workspaces

__all__ = ["TASKS", "Publication", "check_installed", "dashboard"]

TITLE = "YOLO training"

# What Ultralytics logs for each task: the suffixes of its metrics, the main one first, and its losses. Losses that only
# some versions have are in the panel of all losses.
_SUFFIXES = {"detect": ("(B)",), "obb": ("(B)",), "segment": ("(M)", "(B)"), "pose": ("(P)", "(B)")}
_LOSSES = {
    "detect": ("box_loss", "cls_loss", "dfl_loss"),
    "obb": ("box_loss", "cls_loss", "dfl_loss"),
    "segment": ("box_loss", "seg_loss", "cls_loss", "dfl_loss"),
    "pose": ("box_loss", "pose_loss", "kobj_loss", "cls_loss", "dfl_loss"),
    "classify": ("loss",),
}
TASKS = ("detect", "segment", "pose", "obb", "classify")


def dashboard(
    project: str, *, entity: str | None = None, task: str = "detect", classes: Sequence[str] = (), dry_run: bool = False
) -> str:
    """Publish a workspace for a W&B project, or renew the one that an earlier call published.

    Args:
        project: The W&B project.
        entity: User or team. Defaults to `None`, W&B's own default.
        task: The task of the project's trainings. Defaults to `"detect"`.
        classes: Class names, for bars by class; lines by class need none. Defaults to `()`.
        dry_run: Whether to only return the specification, which needs no server and no login. Defaults to `False`.

    Returns:
        The address of the workspace; with `dry_run` its specification as JSON.

    Raises:
        ImportError: If wandb-workspaces is not installed.
        ValueError: If `task` is not one of `TASKS`.

    Example:
        >>> from yolo_callbacks.loggers.wandb_parts.workspace import dashboard
        >>> specification = dashboard("crowns", dry_run=True)  # doctest: +SKIP
    """
    check_installed()
    _check_task(task)
    if dry_run:
        workspace = _workspace(entity or "", project, task, classes)
        # wandb-workspaces 0.4.13 has no public method that returns a specification without publishing it
        model = workspace._to_model()
        specification = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
        return json.dumps({"name": TITLE, "entity": entity, "project": project, "spec": specification}, indent=2)
    return _publish(entity, project, task, classes, renew=True)


def check_installed() -> None:
    """Check that wandb-workspaces is installed.

    Raises:
        ImportError: If it is not; the message names the command that installs it.
    """
    if find_spec("wandb_workspaces") is None:
        raise ImportError("the dashboard needs wandb-workspaces: pip install wandb-workspaces")


class Publication:
    """Publish a workspace beside a training, once for a project.

    Args:
        task: The task of the training.
        classes: Its class names.
    """

    def __init__(self, task: str, classes: Sequence[str]) -> None:
        self._task = task if task in _LOSSES else "detect"
        self._classes = list(classes)
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def start(self, run: Any) -> None:
        """Start to publish for the project of a `wandb.Run` that is open; it needs a server."""
        if run.offline:
            LOGGER.info("WandbLogger: the run is offline, publish the dashboard later with: yolo-callbacks dashboard")
            return
        # Nobody waits for it at the exit of the interpreter: a server may never answer.
        self._thread = threading.Thread(
            target=self._publish, args=(run.entity, run.project), name="wandb-dashboard", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until the workspace is published, if that was started.

        Raises:
            Exception: What publishing raised.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _publish(self, entity: str, project: str) -> None:
        try:
            _publish(entity, project, self._task, self._classes, renew=False)
        except Exception as error:
            self._error = error


def _publish(entity: str | None, project: str, task: str, classes: Sequence[str], *, renew: bool) -> str:
    import wandb
    from wandb_workspaces import workspaces

    owner = entity or str(wandb.Api().default_entity)
    # An id in W&B's form that is always the same for a project, so that a later call finds the workspace again.
    view = hashlib.sha256(f"{owner}/{project}".encode()).hexdigest()[:11]
    try:
        # wandb-workspaces 0.4.13 does not use the host of the address
        workspace = workspaces.Workspace.from_url(f"https://wandb.ai/{owner}/{project}?nw={view}")
    except ValueError:  # the project has no such workspace
        workspace = _workspace(owner, project, task, classes)
        workspace._internal_name = f"nw-{view}-v"
    else:
        if not renew:
            return str(workspace.url)
        workspace.sections = _sections(task, classes)
    workspace.save()
    return str(workspace.url)


def _workspace(entity: str, project: str, task: str, classes: Sequence[str]) -> workspaces.Workspace:
    from wandb_workspaces import workspaces

    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=_sections(task, classes),
        settings=workspaces.WorkspaceSettings(x_axis="epoch"),
    )


def _check_task(task: str) -> None:
    if task not in _LOSSES:
        raise ValueError(f"task must be one of {', '.join(_LOSSES)}, received {task!r}")


# Sections and panels ------------------------------------------------------------------------------------------------


def _sections(task: str, classes: Sequence[str]) -> list[Any]:
    from wandb_workspaces import workspaces

    panels = {
        "Quality": _quality(task),
        "Per class": _per_class(task, classes),
        "Losses, training against validation": _losses(task),
        "Learning rate": [_lines("Learning rate", r"^lr/pg\d+$"), _lines("Scale after reductions", r"^lr/scale")],
        "Memory": [
            _lines("Accelerator in training, GiB", "^memory/train/(allocated|reserved|peak)$"),
            _lines("Accelerator in validation, GiB", "^memory/val/(allocated|reserved|peak)$"),
            _lines("Share of the accelerator", "^memory/(train|val)/share$"),
            _lines("Host, GiB", "^memory/(train|val)/host_(process|workers)$"),
            _lines("Left on the host, GiB", "^memory/(train|val)/host_available$"),
        ],
        "Validation images": _images(task),
        "Final evaluation": _final(task),
        "Run comparison": _comparison(task),
    }
    return [
        workspaces.Section(
            name=name,
            panels=shown,
            is_open=True,
            layout_settings=workspaces.SectionLayoutSettings(columns=3, rows=-(-len(shown) // 3)),
            panel_settings=workspaces.SectionPanelSettings(x_axis="epoch"),
        )
        for name, shown in panels.items()
        if shown
    ]


def _metrics(task: str) -> list[str]:
    """Return the keys of the metrics, the main one first."""
    if task == "classify":
        return ["metrics/accuracy_top1", "metrics/accuracy_top5"]
    names = ("mAP50-95", "mAP50", "precision", "recall")
    return [f"metrics/{name}{suffix}" for suffix in _SUFFIXES[task] for name in names]


def _quality(task: str) -> list[Any]:
    from wandb_workspaces.reports import v2

    main = _metrics(task)[0]
    return [
        v2.ScalarChart(title=f"Best {_short(main)}", metric=_best(main), groupby_aggfunc="max"),
        _lines("Best so far, by monitor", "^best/"),
        *(_lines(_short(key), f"^{_escaped(key)}$") for key in _metrics(task)),
        _lines("Checks without improvement", "^early_stopping/wait"),
    ]


def _per_class(task: str, classes: Sequence[str]) -> list[Any]:
    from wandb_workspaces.reports import v2

    if task == "classify":
        return []
    suffix = _SUFFIXES[task][0].replace("(B)", "")
    names = [f"{metric}{suffix}" for metric in ("mAP50-95", "mAP50", "precision", "recall")]
    bars = [f"per_class/{label}/{names[0]}" for label in classes] if len(classes) <= MAX_CLASSES else []
    return [
        *([v2.BarPlot(title=f"Best {names[0]} by class", metrics=[_best(key) for key in bars])] if bars else []),
        *(_lines(f"{name} by class", f"^per_class/.+/{_escaped(name)}$") for name in names),
    ]


def _losses(task: str) -> list[Any]:
    each = [_lines(name.replace("_", " "), f"^(train|val)/{name}$") for name in _LOSSES[task]]
    return [*each, _lines("All losses", "^(train|val)/.*loss$")]


def _images(task: str) -> list[Any]:
    from wandb_workspaces.reports import v2

    if task == "classify":  # its images have no boxes
        return []
    return [
        v2.MediaBrowser(title="By epoch", media_keys=["validation/images"], num_columns=4),
        v2.MediaBrowser(title="Of the best checkpoint", media_keys=["final/images"], num_columns=4),
    ]


def _final(task: str) -> list[Any]:
    from wandb_workspaces.reports import v2

    keys = [f"final/{key}" for key in _metrics(task)]
    return [v2.BarPlot(title=_short(key), metrics=[v2.SummaryMetric(key)], orientation="h") for key in keys]


def _comparison(task: str) -> list[Any]:
    from wandb_workspaces.reports import v2

    columns = [v2.ParallelCoordinatesPlotColumn(metric=v2.Config(name)) for name in ("lr0", "batch", "imgsz", "epochs")]
    main = v2.ParallelCoordinatesPlotColumn(metric=_best(_metrics(task)[0]))
    return [
        v2.RunComparer(diff_only="split"),
        v2.ParallelCoordinatesPlot(title="What made the difference", columns=[*columns, main]),
    ]


def _lines(title: str, pattern: str) -> Any:
    from wandb_workspaces.reports import v2

    return v2.LinePlot(title=title, x="epoch", metric_regex=pattern)


def _best(key: str) -> Any:
    """Return the best value of a metric: `WandbLogger` defines metrics so that the run's summary holds it."""
    from wandb_workspaces.reports import v2

    return v2.SummaryMetric(f"{key}.max")


def _short(key: str) -> str:
    return key.rpartition("/")[2].removesuffix("(B)")


def _escaped(key: str) -> str:
    """Escape a key for a regular expression; `re.escape` escapes hyphens too, which not every dialect accepts."""
    return key.replace("(", r"\(").replace(")", r"\)")
