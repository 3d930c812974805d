"""`RankWatchdog` in processes that torchrun has started as two nodes: one rank hangs, and the other one waits."""

from __future__ import annotations

import re

import pytest
import torch
from launches import logs, printed, run, seen, torchrun, training

from yolo_callbacks.trainer.installation import installed_version

pytestmark = [
    pytest.mark.training,
    pytest.mark.skipif(installed_version() < (8, 4, 190), reason="needs Ultralytics 8.4.190"),
]


def launched(folder, scenes, watchdog, **witness):
    command = training(folder, scenes, **witness)[1:]
    callbacks = folder / "callbacks.yaml"
    callbacks.write_text(f"{callbacks.read_text()}\n  - RankWatchdog: {watchdog}\n")
    return run(folder, [[*node, "-m", *command] for node in torchrun(2, 1)])


@pytest.mark.parametrize("rank", [0, 1])
def test_a_training_that_stands_is_ended_on_every_rank_if_that_is_asked_for(tmp_path, scenes, rank):
    codes = launched(tmp_path, scenes, "{timeout: 3, end: true}", stands=f"{rank} sleeps")
    assert 0 not in codes, logs(tmp_path)
    said = printed(tmp_path)
    assert re.search(rf"RankWatchdog: rank {rank} \(.*, process \d+\) has made no progress for \d+ s, in batch 1", said)
    assert "RankWatchdog ends the training on every rank" in said
    assert "on_train_batch_end" in (tmp_path / "run" / f"stacks-rank{rank}.txt").read_text()
    last = torch.load(tmp_path / "run" / "weights" / "last.pt", weights_only=False)
    assert last["epoch"] == 0
    assert last["optimizer"]


def test_a_process_that_does_not_answer_is_named_and_the_training_goes_on(tmp_path, scenes):
    codes = launched(tmp_path, scenes, "{timeout: 2}", stands="1 is stopped")
    assert codes == [0, 0], logs(tmp_path)
    said = printed(tmp_path)
    assert re.search(r"RankWatchdog: rank 1 \(.*\) does not answer any more, for \d+ s: its process", said)
    assert "RankWatchdog: rank 1 goes on after" in said
    assert "RankWatchdog: rank 0" not in said  # it only waits
    assert "stuck once: rank 1" in said
    assert [len(rank["weights"]) for rank in seen(tmp_path, 2)] == [3, 3]
