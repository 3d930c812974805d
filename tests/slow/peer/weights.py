"""Make weights under the names that Ultralytics' tests load: untrained, from the `.yaml` of the same name.

Run in a process of its own, whose PYTHONPATH has the checkout first: `python -m peer.weights FOLDER TESTS [TASK]`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# Loaded from a folder of its own, to test paths with spaces.
WITH_SPACES = "path with spaces"
NAME = re.compile(r"""["'/]((?:yolo|rtdetr)[\w-]+)\.pt\b""")


def names(tests: Path, task: str = "") -> list[str]:
    """Return the names of weights that the tests mention and of every task's default model, or the one of a task."""
    from ultralytics.cfg import TASK2MODEL

    if task:
        return [Path(TASK2MODEL[task]).stem]
    mentioned = {name for file in tests.glob("*.py") for name in NAME.findall(file.read_text())}
    return sorted(mentioned | {Path(name).stem for name in TASK2MODEL.values()})


def make(folder: Path, tests: Path, task: str = "") -> list[str]:
    """Save weights of every name that has a `.yaml`; return the names that have none."""
    missing = []
    for name in names(tests, task):
        try:
            _save(name, folder / f"{name}.pt")
        except FileNotFoundError:
            missing.append(name)
    return missing


def _save(name: str, path: Path) -> None:
    import torch
    from ultralytics import RTDETR, YOLO, __version__
    from ultralytics.utils import DEFAULT_CFG_DICT
    from ultralytics.utils.torch_utils import init_seeds

    if path.exists():
        return
    init_seeds(0)
    made = (RTDETR if name.startswith("rtdetr") else YOLO)(f"{name}.yaml")
    made.model.args = {**DEFAULT_CFG_DICT, "task": made.task, "model": f"{name}.yaml"}
    checkpoint = {
        "epoch": -1,
        "model": made.model.half(),
        "train_args": made.model.args,
        "date": "2026-01-01T00:00:00",
        "version": __version__,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, path)


if __name__ == "__main__":
    target, tests = map(Path, sys.argv[1:3])
    without = make(target, tests, *sys.argv[3:])
    spaced = target / WITH_SPACES
    spaced.mkdir(exist_ok=True)
    for weights in target.glob("*.pt"):
        (spaced / weights.name).unlink(missing_ok=True)
        (spaced / weights.name).hardlink_to(weights)
    print("no .yaml, so no weights:", ", ".join(without) or "none")
