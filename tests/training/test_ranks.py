"""Two real processes over gloo, training the real trainer: what rank 0 decides holds on both, and none hangs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from made_once import made_once
from shifted_predictions import predict_shifted_labels
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, FailingImages, JsonlLogger, ReduceLROnPlateau, SaveBest, attach
from yolo_callbacks.trainer.installation import installed_version

pytestmark = pytest.mark.training

HELPERS = Path(__file__).parents[1] / "helpers"
BOUND = 200  # seconds, with room for a slow machine: a rank that waits for another waits for hours


CASES = (
    "plain",
    "recursive",
    "lenient on_train_batch_end 0",
    "strict on_train_batch_end 1",
    "strict on_fit_epoch_end 0",
    "strict state_dict 0",
    "typo",
    "images",
    "skips",
    "skips-by-time",
    "unfreeze",
    "schedule",
    "preempted 0",
    "preempted 1",
    "left-at-the-batch 1",
    "deadline",
    "stands loader 1",
    "slow 1",
    "waits 1",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, scenes):
    """All cases, one after the other, in two processes."""
    return made_once(tmp_path_factory, "ranks", partial(train_all, scenes))


def train_all(scenes: Path, folder: Path) -> None:
    for case in CASES:
        (folder / case).mkdir()
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, str(HELPERS / "rank_training.py"), str(folder), str(scenes), *CASES]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        returned = process.wait(BOUND)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert returned == 0, "".join((folder / f"rank{rank}.log").read_text()[-5000:] for rank in (0, 1))


def seen(folder: Path, case: str) -> list[dict[str, Any]]:
    """Return the values that each rank has recorded."""
    return [json.loads((folder / case / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_one_decides_and_all_follow(trained):
    ranks = seen(trained, "plain")
    assert [rank["error"] for rank in ranks] == [None, None]
    assert ranks[0]["rates"] == ranks[1]["rates"]
    first = [rates[0] for rates in ranks[0]["rates"]]
    assert len(first) == 5  # best in the second epoch, patience 3
    assert first[3] < 0.2 * first[2]  # reduced with the third, on both
    assert first[4] < 0.2 * first[3]
    folder = trained / "plain" / "run"
    assert sorted(path.name for path in (folder / "weights").glob("best-*")) == ["best-mAP50.json", "best-mAP50.pt"]
    lines = (folder / "callbacks.jsonl").read_text().splitlines()
    assert [json.loads(line).get("epoch") for line in lines] == [1, 2, 3, 4, 5, None]
    state = json.loads((folder / "callbacks.json").read_text())
    assert (state["epoch"], state["summary"]["status"]) == (5, "finished")

    # the parent of such workers sees none of their events
    model = YOLO(TINY)
    saved, stopping, plateau = SaveBest("mAP50"), EarlyStopping(patience=3), ReduceLROnPlateau(patience=0)
    suite = attach(model, saved, stopping, plateau, JsonlLogger())
    with pytest.raises(RuntimeError, match=r"call model\.train\(\) first"):
        suite.load_results()
    model.trainer = type("Trainer", (), {"save_dir": folder})()
    assert suite.load_results()["summary"]["epochs"] == 5
    assert (saved.best_score, saved.best_epoch, saved.best_model_path) == (0.6, 2, folder / "weights" / "best-mAP50.pt")
    assert (stopping.stopped_epoch, stopping.wait_count, plateau.reductions) == (5, 3, [3, 4, 5])


def test_a_reduction_under_a_recursive_scheduler_reaches_every_rank(trained):
    ranks = seen(trained, "recursive")
    assert ranks[0]["rates"] == ranks[1]["rates"]
    scales = (1.0, 1.0, 1.0, 0.1, 0.01)
    expected = [0.01 * 0.9 ** (epoch + 1) * scale for epoch, scale in enumerate(scales)]
    assert [rates[0] for rates in ranks[0]["rates"]] == pytest.approx(expected)


def test_an_error_on_one_rank_is_logged_and_ends_nothing(trained):
    ranks = seen(trained, "lenient on_train_batch_end 0")
    assert [(rank["error"], len(rank["rates"])) for rank in ranks] == [(None, 5)] * 2


@pytest.mark.parametrize(("event", "failing"), [("on_train_batch_end", 1), ("on_fit_epoch_end", 0), ("state_dict", 0)])
def test_with_strict_every_rank_raises_in_the_same_epoch(trained, event, failing):
    ranks = seen(trained, f"strict {event} {failing}")
    expected = [f"RuntimeError: a callback failed on rank {failing}: ValueError: broken on rank {failing}"] * 2
    expected[failing] = f"ValueError: broken on rank {failing}"
    assert [rank["error"] for rank in ranks] == expected
    assert [len(rank["rates"]) for rank in ranks] == [2, 2]


def test_a_mistake_of_the_user_ends_every_rank(trained):
    ranks = seen(trained, "typo")
    assert ranks[0]["error"].startswith("ValueError: monitor 'mAP5O' does not exist in this run")
    assert ranks[1]["error"].startswith("RuntimeError: a callback failed on rank 0: ValueError: monitor 'mAP5O'")
    assert [rank["rates"] for rank in ranks] == [[], []]


def test_every_rank_has_the_rates_of_a_schedule(trained):
    ranks = seen(trained, "schedule")
    assert [rank["error"] for rank in ranks] == [None, None]
    assert ranks[0]["rates"] == ranks[1]["rates"]
    scales = (1.0, 1.0, 1.0, 0.1, 0.01)
    expected = [0.01 * 0.5 ** (epoch // 2) * scale for epoch, scale in enumerate(scales)]
    assert [rates[0] for rates in ranks[0]["rates"]] == pytest.approx(expected)


def test_every_rank_trains_the_same_layers_with_the_gradients_of_all(trained):
    ranks = seen(trained, "unfreeze")
    assert [rank["error"] for rank in ranks] == [None, None]
    weights = [[[weight for weight, _ in layers] for layers in rank["layers"]] for rank in ranks]
    assert len(weights[0]) == 6
    assert weights[0] == weights[1]  # each rank has other images: gradients that are not shared would part them
    moved = [[a != b for a, b in zip(*pair, strict=True)] for pair in zip(weights[0], weights[0][1:], strict=False)]
    assert moved == [[False, False, True], [True, False, True], [True] * 3, [True, True, False], [True, True, False]]
    # of rank 0: up to 8.4.104 or so the other rank gets them from there with the next batch
    statistics = [[each for _, each in layers] for layers in ranks[0]["layers"]]
    assert statistics[0][:2] == statistics[1][:2]
    assert statistics[1][1] == statistics[2][1] != statistics[3][1]
    assert statistics[3][2] == statistics[4][2] == statistics[5][2]


def test_the_images_of_all_ranks_are_compared_as_those_of_one_process(trained, scenes, train, monkeypatch):
    assert [rank["error"] for rank in seen(trained, "images")] == [None, None]
    predict_shifted_labels(monkeypatch.setattr)
    model = YOLO(TINY)
    attach(model, FailingImages())
    alone = train(model, data=str(scenes), epochs=6, batch=2, nbs=8, imgsz=64)
    several, one = (
        [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()][:6]
        for folder in (trained / "images" / "run", alone)
    )
    assert [line["epoch"] for line in several] == [1, 2, 3, 4, 5, 6]
    assert sum(image["tp"] for image in one[0]["images"].values()) > 0
    assert sum(image["fp"] for image in one[0]["images"].values()) > 0
    for line in (*several, *one):
        del line["root"]  # each process of pytest has its own copy of the scenes
    assert several == one


@pytest.mark.parametrize(
    ("case", "epochs", "by"),
    [
        ("preempted 0", 2, "Preemption: SIGUSR1"),
        ("preempted 1", 2, "Preemption: SIGUSR1"),
        ("deadline", 1, "Deadline: an epoch of"),
    ],
)
def test_every_rank_leaves_with_the_same_epoch(trained, case, epochs, by):
    """Whichever rank a signal has come to; none waits for another in the final evaluation, which is left out."""
    ranks = seen(trained, case)
    assert [(rank["error"], len(rank["rates"])) for rank in ranks] == [(None, epochs)] * 2
    folder = trained / case / "run"
    state = json.loads((folder / "callbacks.json").read_text())
    assert (state["epoch"], state["ended"], state["summary"]["status"]) == (epochs, False, "left early")
    assert state["summary"]["stopped_by"].startswith(by)
    assert torch.load(folder / "weights" / "last.pt", weights_only=False)["optimizer"] is not None
    lines = (folder / "callbacks.jsonl").read_text().splitlines()
    assert [json.loads(line).get("epoch") for line in lines] == list(range(1, epochs + 1))


def test_every_rank_leaves_after_the_same_batch_where_the_epoch_does_not_end_in_time(trained):
    """The signal has come to one rank. The other one would wait in the next batch for it."""
    ranks = seen(trained, "left-at-the-batch 1")
    assert [rank["error"] for rank in ranks] == ["Terminated: 138"] * 2  # 128 and SIGUSR1
    assert ranks[0]["batches"] == ranks[1]["batches"]
    assert 5 < ranks[0]["batches"] < 8  # of the four in the second epoch, the first is that of the signal
    folder = trained / "left-at-the-batch 1" / "run"
    state = json.loads((folder / "callbacks.json").read_text())
    assert (state["epoch"], state["ended"], state["summary"]["status"]) == (1, False, "ended by SIGUSR1")
    [row] = [row for row in state["summary"]["callbacks"] if row["name"] == "Preemption"]
    assert row["outcome"] == "SIGUSR1 came to another rank"
    assert torch.load(folder / "weights" / "last.pt", weights_only=False)["optimizer"] is not None


@pytest.mark.skipif(installed_version() < (8, 3, 218), reason="up to 8.3.217 only rank 0 validates")
def test_every_rank_leaves_out_the_same_validations(trained):
    ranks = seen(trained, "skips")
    assert [rank["error"] for rank in ranks] == [None, None]
    assert [rank["validated"] for rank in ranks] == [[2, 4, 6]] * 2
    ranks = seen(trained, "skips-by-time")
    assert [rank["error"] for rank in ranks] == [None, None]
    assert ranks[0]["validated"] == ranks[1]["validated"]
    assert ranks[0]["validated"][0] == 1
    assert ranks[0]["validated"][-1] == 6
    assert len(ranks[0]["validated"]) < 6
    lines = (trained / "skips" / "run" / "callbacks.jsonl").read_text().splitlines()
    assert ["metrics/mAP50(B)" in json.loads(line) for line in lines] == [False, True] * 3


def test_a_rank_that_stands_is_named_with_its_stacks_while_the_other_waits(trained):
    where, rank, place, call = "loader", 1, "between batches, before batch 1 of epoch 2", "read_from_a_slow_disk"
    case = f"stands {where} {rank}"
    ranks = seen(trained, case)
    assert [(each["error"], len(each["rates"])) for each in ranks] == [(None, 6)] * 2  # nothing is ended
    said = [line for line in (trained / "rank0.log").read_text().splitlines() if f"s, {place}" in line]
    assert len(said) == 1
    assert f"RankWatchdog: rank {rank} ({socket.gethostname()}, process " in said[0]
    assert f"; rank {1 - rank} is waiting for it. It is in _stand (rank_training.py:" in said[0]
    assert said[0].endswith(f"Its stacks are written to stacks-rank{rank}.txt in the folder of the run")
    stacks = (trained / case / "run" / f"stacks-rank{rank}.txt").read_text()
    assert f"rank {rank} of 2" in stacks.splitlines()[0]
    training = stacks[stacks.index("Thread MainThread") :]
    assert training.index("in _do_train") < training.index(f"in {call}") < training.index("in _stand")
    findings = json.loads((trained / case / "run" / "callbacks.json").read_text())["callbacks"]["RankWatchdog"]
    assert ("stuck", rank, 2) in [(each["kind"], each["rank"], each["epoch"]) for each in findings["findings"]]


def test_a_slow_rank_is_named_with_a_figure(trained):
    assert [rank["error"] for rank in seen(trained, "slow 1")] == [None, None]
    state = json.loads((trained / "slow 1" / "run" / "callbacks.json").read_text())
    findings = state["callbacks"]["RankWatchdog"]["findings"]
    slow = [finding for finding in findings if finding["kind"] == "slow"]
    assert {finding["rank"] for finding in slow} == {1}
    assert slow[0]["epoch"] == 2
    assert slow[0]["seconds"] >= 1.2
    [row] = [row for row in state["summary"]["callbacks"] if row["name"] == "RankWatchdog"]
    assert re.search(r"slow (once|2 times): rank 1$", row["outcome"])
    assert "is slow in epoch 2: its loader and its callbacks take" in (trained / "rank0.log").read_text()


def test_the_rank_that_waits_for_data_is_named(trained):
    folder = trained / "waits 1" / "run"
    lines = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    found = [line for line in lines if "speed/slowest_rank" in line]
    assert [line["epoch"] for line in found] == [2, 3, 4, 5]  # what the ranks have exchanged the epoch before
    assert {line["speed/slowest_rank"] for line in found} == {1}
    # the others wait for it in the exchange of gradients, which is no work of their own
    assert all(line["speed/slowest_rank_seconds"] > line["speed/other_ranks_seconds"] for line in found)
    said = [(trained / f"rank{rank}.log").read_text().count("SpeedMonitor: rank 1 is the slowest: ") for rank in (0, 1)]
    assert said == [1, 0]
