"""Let a trial of Ray Tune go on from a checkpoint with the trial's own arguments and in its own folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.installation import default_arguments
from yolo_callbacks.trainer.resume import load_checkpoint
from yolo_callbacks.utils.files import replace_atomic

__all__ = ["new_folder", "resume_from", "rewrite_arguments"]

_OF_THE_PLACE = ("project", "name", "exist_ok", "save_dir")
_NOT_REWRITTEN = frozenset({"resume", "model", "mode", "task", "cfg", "pretrained", "save_dir"})


def new_folder(model: Any, arguments: Mapping[str, Any]) -> Path:
    """Make the folder that a new training with these arguments would get."""
    from ultralytics.cfg import DEFAULT_CFG, get_cfg, get_save_dir

    given = {**model.overrides, **arguments}
    place = {name: given[name] for name in _OF_THE_PLACE if given.get(name) is not None}
    folder = Path(get_save_dir(get_cfg(DEFAULT_CFG, {**place, "task": model.task, "mode": "train"})))
    folder.mkdir(parents=True, exist_ok=True)  # so that no other trial gets it
    return folder


def rewrite_arguments(checkpoint: Path, arguments: Mapping[str, Any], folder: Path) -> None:
    """Replace the arguments in a checkpoint: a resumed training takes those of its checkpoint (Ultralytics 8.4.190).

    Args:
        checkpoint: A checkpoint with an optimizer.
        arguments: The arguments of `model.train`. Where Ray Tune has mutated one, the optimizer gets its new value too.
        folder: The folder of the run.

    Raises:
        OSError: If the checkpoint cannot be written.
    """
    import torch

    content = load_checkpoint(checkpoint)
    known = default_arguments().keys() - _NOT_REWRITTEN
    before = content.get("train_args") or {}
    after = {**before, **{name: value for name, value in arguments.items() if name in known}, "save_dir": str(folder)}
    content["train_args"] = after
    _mutate(content["optimizer"]["param_groups"], before, after)
    replace_atomic(checkpoint, lambda temporary: torch.save(content, temporary))


def resume_from(model: Any, checkpoint: Path, arguments: dict[str, Any]) -> None:
    """Change the arguments of `model.train`, so that it resumes from a checkpoint."""
    # Before 8.4.103 or so Ultralytics resumes from the path that the model holds, whatever `resume=` names.
    model.ckpt_path = arguments["resume"] = str(checkpoint)


def _mutate(groups: list[dict[str, Any]], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Give the saved groups of an optimizer what has changed. Ultralytics computes rates from `lr0`, not from them."""
    momentum, decay = after.get("momentum"), after.get("weight_decay")
    for group in groups:
        if momentum is not None and momentum != before.get("momentum"):
            if "momentum" in group:
                group["momentum"] = momentum
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
        if decay is not None and before.get("weight_decay") and decay != before["weight_decay"]:
            group["weight_decay"] *= decay / before["weight_decay"]  # Ultralytics scales it by the batch size
