"""Run `yolo-callbacks dashboard`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from yolo_callbacks.cli.parser import CommandError, Parser, one_of

__all__ = ["dashboard", "parser"]


def parser() -> Parser:
    """Return the parser."""
    from yolo_callbacks.loggers.wandb_parts.workspace import TASKS

    made = Parser(
        "dashboard",
        "Publish a W&B workspace for a project. It needs the package wandb-workspaces.",
        "yolo-callbacks dashboard --project crowns",
        "yolo-callbacks dashboard --project crowns --classes tree shrub --dry-run",
        "yolo-callbacks dashboard --project crowns --dry-run > workspace.json",
    )
    made.add_argument("--project", required=True, help="the W&B project")
    made.add_argument("--entity", help="user or team (default: W&B's own default)")
    made.add_argument(
        "--task",
        default="detect",
        type=one_of(TASKS),
        completed=TASKS,
        help=f"the task of the project's trainings: {', '.join(TASKS)} (default: detect)",
    )
    made.add_argument("--classes", nargs="+", default=(), metavar="NAME", help="class names, for bar charts by class")
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="print a summary (to the error output) and the specification as JSON, without a server",
    )
    return made


def dashboard(arguments: Sequence[str]) -> None:
    """Publish a W&B workspace for a project."""
    from yolo_callbacks.loggers.wandb_parts.workspace import dashboard as publish

    parsed = parser().parse_args(arguments)
    try:
        shown = publish(**vars(parsed))
    except Exception as error:  # wandb raises many types, depending on how the server fails
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise CommandError(f"yolo-callbacks dashboard: {kind}{error}") from error
    if parsed.dry_run:
        # Not to the output, so that it stays a JSON file.
        print(_summary(shown, parsed.task), file=sys.stderr)
    print(shown)


def _summary(text: str, task: str) -> str:
    """Return how many panels each section of a specification has."""
    workspace = json.loads(text)
    panels = {each["name"]: len(each["panels"]) for each in workspace["spec"]["section"]["panelBankConfig"]["sections"]}
    width = max(map(len, panels), default=0)
    place = "/".join(filter(None, (workspace["entity"], workspace["project"])))
    return "\n".join(
        [
            f"Dry run: nothing is published. The workspace {workspace['name']!r} of {place} for the task {task}:",
            f"{len(panels)} sections with {sum(panels.values())} panels",
            *(f"  {name:<{width}}  {number}" for name, number in panels.items()),
        ]
    )
