"""`yolo-callbacks dashboard --project P`: a ready W&B workspace for a project."""

from __future__ import annotations

import argparse
import sys

__all__ = ["HELP", "add_arguments", "run"]

HELP = "publish a ready W&B workspace for a project"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--project", required=True, help="the W&B project")
    parser.add_argument("--entity", help="user or team (default: W&B's own default)")
    parser.add_argument(
        "--task",
        default="detect",
        choices=("detect", "segment", "pose", "obb", "classify"),
        help="the task of the project's trainings (default: detect)",
    )
    parser.add_argument("--classes", nargs="+", default=(), metavar="NAME", help="class names, for bars by class")
    parser.add_argument("--dry-run", action="store_true", help="print the specification as JSON, without a server")


def run(arguments: argparse.Namespace) -> int:
    """Publish the workspace and say where it is; 2 where wandb-workspaces is missing, 1 where the server refuses."""
    from yolo_callbacks.dashboard import dashboard

    try:
        told = dashboard(
            arguments.project,
            entity=arguments.entity,
            task=arguments.task,
            classes=arguments.classes,
            dry_run=arguments.dry_run,
        )
    except ImportError as error:
        print(f"yolo-callbacks dashboard: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # wandb raises many kinds, one for each way a server can be away
        print(f"yolo-callbacks dashboard: {type(error).__name__} {error}", file=sys.stderr)
        return 1
    print(told)
    return 0
