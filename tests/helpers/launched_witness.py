"""A callback for YAML that notes what a rank sees, and ends a node or hides its files where a test asks for it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from yolo_callbacks import Callback

RANK = int(os.environ.get("RANK", "-1"))


class Witness(Callback):
    """Note the rates, the weights and the shard of this rank in `FOLDER/rank<N>.json`.

    Args:
        folder: The folder of the notes.
        own_disk: Whether the ranks other than 0 have folders of their own, with an old best.pt that cannot be read.
        dies: The rank whose node dies. Defaults to None, for no one.
        phase: Where it dies: in the `"set-up"`, in a `"batch"`, the `"validation"` or at the `"end"` of the second
            epoch, or in the `"final evaluation"`. Defaults to `"batch"`.
        fails: The rank whose process ends in the second epoch, once. Defaults to None, for no one.
        stands: The rank that hangs in the second epoch, and how: `"1 sleeps"` in a callback for hours, or `"1 is
            stopped"` for some seconds, all threads of it. Defaults to `""`, for no one.
    """

    every_rank = True

    def __init__(
        self,
        folder: str,
        *,
        own_disk: bool = False,
        dies: int | None = None,
        phase: str = "batch",
        fails: int | None = None,
        stands: str = "",
    ) -> None:
        self.folder, self.own_disk, self.dies, self.phase = Path(folder), own_disk, dies, phase
        self.fails, self.stands = fails, stands
        self.epoch = 0
        self.seen: dict[str, Any] = {"rates": [], "weights": [], "averages": [], "final_evaluations": 0}

    def on_train_start(self, trainer: Any) -> None:
        self._die_in("set-up")
        sampler = trainer.train_loader.sampler
        self.seen |= {"shard": [sampler.rank, sampler.num_replicas], "folder": str(trainer.save_dir)}
        if self.own_disk and RANK:
            trainer.save_dir = self.folder / f"disk{RANK}"
            trainer.wdir = trainer.save_dir / "weights"
            trainer.wdir.mkdir(parents=True)
            trainer.last, trainer.best = trainer.wdir / "last.pt", trainer.wdir / "best.pt"
            trainer.best.write_text("of an old run")

    def on_train_batch_end(self, trainer: Any) -> None:
        if trainer.epoch:
            self._die_in("batch")
        if trainer.epoch and self.fails == RANK and not (self.folder / "failed").exists():
            (self.folder / "failed").touch()
            os._exit(3)
        if trainer.epoch == 1 and self.stands == f"{RANK} sleeps":
            time.sleep(10_000)
        if trainer.epoch == 1 and self.stands == f"{RANK} is stopped":
            subprocess.Popen(["sh", "-c", f"sleep 6; kill -CONT {os.getpid()}"])
            os.kill(os.getpid(), signal.SIGSTOP)

    def on_train_epoch_end(self, trainer: Any) -> None:
        self.seen["rates"].append([group["lr"] for group in trainer.optimizer.param_groups])
        self.seen["weights"].append(digest(trainer.model))
        self.seen["averages"].append(digest(trainer.ema.ema))
        self._write()
        self.epoch = trainer.epoch

    def on_val_start(self, validator: Any) -> None:
        self.seen["final_evaluations"] += not validator.training
        self._write()

    def on_val_batch_end(self, validator: Any) -> None:
        if not validator.training:
            self._die_in("final evaluation")
        elif self.epoch:
            self._die_in("validation")

    def on_fit_epoch_end(self, trainer: Any) -> None:
        if trainer.epoch == 1:
            self._die_in("end")

    def _die_in(self, phase: str) -> None:
        if (self.dies, self.phase) == (RANK, phase):
            os.kill(os.getppid(), signal.SIGKILL)  # torchrun, which would end the other node
            os.kill(os.getpid(), signal.SIGKILL)

    def _write(self) -> None:
        (self.folder / f"rank{RANK}.json").write_text(json.dumps(self.seen))


def digest(model: Any) -> str:
    """Return a digest of the bits of a model's parameters."""
    joined = b"".join(parameter.detach().numpy().tobytes() for parameter in model.parameters())
    return hashlib.sha256(joined).hexdigest()
