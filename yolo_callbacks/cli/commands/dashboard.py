"""Run `yolo-callbacks dashboard`."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["dashboard"]


def dashboard(arguments: Sequence[str]) -> None:
    """Publish a W&B workspace for a project."""
    from yolo_callbacks.loggers.wandb_parts.workspace import TASKS
    from yolo_callbacks.loggers.wandb_parts.workspace import dashboard as publish

    parser = Parser(
        "dashboard",
        "Publish a W&B workspace for a project. It needs yolo-callbacks[dashboard].",
        "yolo-callbacks dashboard --project crowns",
        "yolo-callbacks dashboard --project crowns --classes tree shrub --dry-run",
    )
    parser.add_argument("--project", required=True, help="the W&B project")
    parser.add_argument("--entity", help="user or team (default: W&B's own default)")
    parser.add_argument(
        "--task", default="detect", choices=TASKS, help="the task of the project's trainings (default: detect)"
    )
    parser.add_argument("--classes", nargs="+", default=(), metavar="NAME", help="class names, for bar charts by class")
    parser.add_argument("--dry-run", action="store_true", help="print the specification as JSON, without a server")
    try:
        print(publish(**vars(parser.parse_args(arguments))))
    except CommandError:
        raise
    except Exception as error:  # wandb raises many types, depending on how the server fails
        raise CommandError(f"yolo-callbacks dashboard: {type(error).__name__} {error}") from error
