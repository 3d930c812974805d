"""Keep the epochs whose checkpoints `SaveBest` has saved: the best ones, or stand-ins before anything is detected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.monitor_parts.patience import last_checked_epoch
from yolo_callbacks.callbacks.save_best_parts.files import CheckpointFiles
from yolo_callbacks.decisions.ranking import Ranking
from yolo_callbacks.trainer.checkpoint_copies import fetch_checkpoint, holds_epoch
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.fields import Field, StateError, listing, number, optional, pair, read_fields, whole
from yolo_callbacks.utils.files import LOGGER

__all__ = ["KeptCheckpoints", "read_kept"]


class KeptCheckpoints:
    """Hold the epochs whose checkpoints are kept, and remove the files of the others.

    Stand-ins are the latest epochs, kept while nothing is detected. They are removed when the first epoch that
    detects something is saved.

    Args:
        ranking: The rule that ranks the epochs.
        files: Their files.

    Attributes:
        ranking: The rule, with the best epochs.
        stand_ins: The value of each stand-in by its epoch, latest first; NaN where it has none.
    """

    def __init__(self, ranking: Ranking, files: CheckpointFiles) -> None:
        self.ranking = ranking
        self.stand_ins: dict[int, float] = {}
        self._files = files

    @property
    def values(self) -> dict[int, float]:
        """The value of each epoch kept: the best first, of stand-ins the latest first."""
        return self.stand_ins or self.ranking.kept

    @property
    def best_epoch(self) -> int:
        """The best epoch, or the latest stand-in; 0 if there is none."""
        return next(iter(self.values), 0)

    @property
    def best_score(self) -> float | None:
        """The value of the best epoch; None if there is none."""
        return None if self.stand_ins else self.ranking.kept.get(self.best_epoch)

    @property
    def best_path(self) -> Path | None:
        """The file of the best epoch, or of the latest stand-in; None if there is none."""
        return self._files.path(self.best_epoch) if self.best_epoch else None

    def add(self, run: TrainingRun, epoch: int, value: float, *, evicted: int | None) -> None:
        """Add an epoch that was saved to the best ones, and remove the one that it replaces and all stand-ins."""
        self.ranking.add(epoch, value, evicted=evicted)
        stand_ins, self.stand_ins = self.stand_ins, {}
        self._files.remove(run, [*stand_ins, *([] if evicted is None else [evicted])])

    def add_stand_in(self, run: TrainingRun, epoch: int, value: float | None) -> None:
        """Add an epoch that was saved to the stand-ins, and remove the earliest of more than `top_k`."""
        latest = {epoch: math.nan if value is None else value, **self.stand_ins}
        self.stand_ins = dict(list(latest.items())[: self.ranking.top_k])
        self._files.remove(run, latest.keys() - self.stand_ins.keys())

    def resume(self, run: TrainingRun) -> None:
        """Compare epochs with files: a file may be missing, of a later epoch, or one too many for `top_k` now."""
        if run.moved_from and run.resumed_checkpoint:
            for epoch in self._epochs():
                path = self._files.path(epoch)
                fetch_checkpoint(run.resumed_checkpoint.with_name(path.name), path, epoch)
        top_k = self.ranking.top_k
        for epoch in [*list(self.ranking.kept)[top_k:], *list(self.stand_ins)[top_k:]]:
            self._drop(epoch)
        for epoch in self._epochs():
            path = self._files.path(epoch)
            if not holds_epoch(path, epoch):
                LOGGER.warning(f"SaveBest: {path} no longer holds epoch {epoch}, going on without it")
                self._drop(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs kept and their values."""
        stand_ins = [[epoch, value] for epoch, value in self.stand_ins.items()]
        return {"top_k": self.ranking.top_k, **self.ranking.state_dict(), "stand_ins": stand_ins}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the epochs kept from a validated state, see `read_kept`."""
        self.ranking.load_state_dict(state)
        self.stand_ins = {epoch: math.nan if value is None else value for epoch, value in state["stand_ins"]}

    def _epochs(self) -> list[int]:
        return [*self.ranking.kept, *self.stand_ins]

    def _drop(self, epoch: int) -> None:
        self.ranking.kept.pop(epoch, None)
        self.stand_ins.pop(epoch, None)
        self._files.discard(epoch)


def read_kept(state: dict[str, Any], top_k: int) -> dict[str, Any]:
    """Return `top_k`, `kept` and `stand_ins` of a state, as `KeptCheckpoints` takes them.

    Args:
        state: The state.
        top_k: The argument of the callback, for a state that does not say it.

    Raises:
        StateError: If one of them is wrong, or if they contradict each other.
    """
    epoch = whole(1, last_checked_epoch(state))
    found = read_fields(
        state,
        {
            "top_k": Field(whole(1), top_k),
            "kept": Field(listing(pair(epoch, number()))),
            "stand_ins": Field(listing(pair(epoch, optional(number()))), []),
        },
    )
    kept, stand_ins = dict(found["kept"]), dict(found["stand_ins"])
    if len(kept) < len(found["kept"]) or len(stand_ins) < len(found["stand_ins"]) or (kept and stand_ins):
        raise StateError("it keeps one epoch twice")
    if max(len(kept), len(stand_ins)) > found["top_k"]:
        raise StateError(f"it keeps more epochs than top_k={found['top_k']}")
    return found
