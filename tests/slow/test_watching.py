"""What is seen of a training from outside and inside: a real kill, and a loader with workers that is slow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import pytest
from trainings import FAST, TINY
from ultralytics import YOLO
from ultralytics.data.base import BaseDataset
from ultralytics.data.build import InfiniteDataLoader

from yolo_callbacks import Callback, SpeedMonitor, attach
from yolo_callbacks.cli.command import main
from yolo_callbacks.state.status_file import read_status

pytestmark = pytest.mark.training

KILLED = """
import os, signal, sys
sys.path.append(sys.argv[1])
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import attach, SaveBest
model = YOLO(TINY)
attach(model, SaveBest())
def kill(trainer):
    if trainer.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
model.add_callback("on_train_batch_end", kill)
model.train(**FAST, data=sys.argv[2], epochs=3, project=sys.argv[3], name="run")
"""


def test_a_killed_run_is_known_by_its_process(tmp_path, scenes, capsys):
    helpers = Path(__file__).parents[1] / "helpers"
    command = [sys.executable, "-c", KILLED, str(helpers), str(scenes), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -9
    found = read_status(tmp_path / "run")
    assert (found.state, found.epochs) == ("killed", 3)
    with pytest.raises(SystemExit) as ended:
        main(["status", str(tmp_path / "run")])
    assert ended.value.code == 3
    assert capsys.readouterr().out.startswith("killed: epoch ")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_the_share_is_the_time_in_the_loader(tmp_path, scenes, monkeypatch, workers, seconds):
    load, iterate = BaseDataset.__getitem__, InfiniteDataLoader.__iter__
    waited, shares, found, given = [0.0], [], [], []

    def slow(self: Any, index: int) -> Any:
        sleep(seconds)
        return load(self, index)

    def timed(self: Any) -> Iterator[Any]:
        batches = iterate(self)
        while True:
            started = perf_counter()
            batch = next(batches, None)
            waited[0] += perf_counter() - started
            if batch is None:
                return
            yield batch

    class Epochs(Callback):
        def on_train_epoch_start(self, trainer):
            waited[0], self.started = 0.0, perf_counter()

        def on_train_epoch_end(self, trainer):
            shares.append(waited[0] / (perf_counter() - self.started))

        def on_epoch(self, run, record):
            found.append(monitor.speed["data_share"])
            given.append(run.trainer.train_loader.num_workers)

    monkeypatch.setattr(BaseDataset, "__getitem__", slow)
    monkeypatch.setattr(InfiniteDataLoader, "__iter__", timed)
    model, monitor = YOLO(TINY), SpeedMonitor()
    attach(model, monitor, Epochs(), strict=True)
    # Ultralytics 8.4.190 itself trains without workers on a CPU.
    model.add_callback("on_pretrain_routine_start", lambda trainer: setattr(trainer.args, "workers", workers))
    arguments = {**FAST, "workers": workers, "data": str(scenes), "project": str(tmp_path), "name": "run"}
    model.train(**arguments, epochs=4, val=False)
    assert len(found) == 4
    assert given == [workers] * 4
    assert found == pytest.approx(shares, abs=0.1)
