"""Read what a run leaves: the content of its files that depends neither on the time nor on the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from trainings import results_csv
from wandb_runs import read_runs


def left_by(folder: Path) -> dict[str, Any]:
    """Return the content of a run's files that depends neither on the time nor on the folder."""
    state = json.loads((folder / "callbacks.json").read_text())
    states = {key: value for key, value in state["callbacks"].items() if not key.startswith(("Wandb", "Preemption"))}
    for each in states.values():
        each.pop("seconds", None)  # of `ValidateEvery`: how long things took
    logged = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    rates = {row["epoch"]: [row[key] for key in row if key.startswith("lr/")] for row in results_csv(folder)}
    return {
        "epoch": state["epoch"],
        "status": state["summary"]["status"],
        "states": states,
        "outcomes": [(row["outcome"] or "").replace(str(folder), "") for row in state["summary"]["callbacks"][:6]],
        "files": sorted(path.name for path in (folder / "weights").iterdir()),
        "sidecars": {path.name: sidecar(path) for path in (folder / "weights").glob("*.json")},
        "checkpoints": {path.name: epoch_and_kind(path) for path in (folder / "weights").glob("*.pt")},
        "rates": rates,
        "logged": [{key: value for key, value in row.items() if not key.startswith("train/")} for row in logged],
        "wandb": sorted(
            [row["epoch"], row["best/recall"], row["lr/scale"], row["per_class/one/mAP50"]]
            for run in read_runs(folder / "wandb")
            for row in run.rows
            if "epoch" in row
        ),
    }


def sidecar(path: Path) -> dict[str, Any]:
    """A sidecar without the training losses, which differ: a resumed training starts from half-precision weights."""
    content = json.loads(path.read_text())
    content["metrics"] = {key: value for key, value in content["metrics"].items() if not key.startswith("train/")}
    return content


def epoch_and_kind(path: Path) -> tuple[float, bool]:
    """Return the recall in a checkpoint, which is different in each epoch, and whether the checkpoint is stripped."""
    content = torch.load(path, map_location="cpu", weights_only=False)
    return content["train_metrics"]["metrics/recall(B)"], content["optimizer"] is None
