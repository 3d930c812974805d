"""Preemption in real trainings: when a signal ends them, what they leave, and what a resume makes of it."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stand_in_slurm import StandInSlurm
from trainings import TINY, results_csv
from ultralytics import YOLO

from yolo_callbacks import (
    Callback,
    EarlyStopping,
    JsonlLogger,
    Preemption,
    ReduceLROnPlateau,
    SaveBest,
    WandbLogger,
    attach,
)
from yolo_callbacks.callbacks.preemption_parts import joint_leave
from yolo_callbacks.callbacks.preemption_parts.joint_leave import JointLeave
from yolo_callbacks.decisions import remaining_time
from yolo_callbacks.loggers.wandb_parts.session import WandbSession
from yolo_callbacks.trainer.rank_store import RankServer
from yolo_callbacks.utils.signals import Terminated

VALUES = [0.1, 0.3, 0.2, 0.2, 0.1, 0.1]


pytestmark = pytest.mark.usefixtures("no_slurm")


@pytest.fixture
def standing_clock(monkeypatch):
    """Stop the clock of the modules that say how much time is left."""
    clock = SimpleNamespace(time=lambda: 1_800_000_000.0, monotonic=lambda: 1000.0, sleep=time.sleep)
    for module in ("callbacks.preemption", "utils.signals", "trainer.training_run"):
        monkeypatch.setattr(f"yolo_callbacks.{module}.time", clock)
    return clock


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"signals": ()}, ValueError, "signals must name at least one signal, received none"),
        ({"signals": 10}, TypeError, "signals must be names of signals such as 'SIGUSR1', received 10"),
        ({"signals": ["SIGUSR1", 12]}, TypeError, "received 12"),
        ({"signals": "USR1"}, ValueError, "signals must be names of signals such as 'SIGUSR1', received 'USR1'"),
        ({"signals": "SIGKILL"}, ValueError, "signals must be signals that a process can handle, received 'SIGKILL'"),
        ({"grace": "soon"}, ValueError, "grace must be a duration such as .* received 'soon'"),
        ({"grace": -1}, ValueError, "grace must be finite and at least 0, received -1"),
        ({"grace": None}, TypeError, "grace must be a number, received None"),
        ({"requeue": 1}, TypeError, "requeue must be True or False, received 1"),
    ],
)
def test_wrong_arguments(arguments, error, said):
    with pytest.raises(error, match=said):
        Preemption(**arguments)


def test_the_names_of_signals():
    assert Preemption().signals == ("SIGUSR1", "SIGTERM")
    assert Preemption(signal.SIGUSR2).signals == ("SIGUSR2",)
    assert Preemption(["SIGUSR1", signal.SIGUSR1]).signals == ("SIGUSR1",)
    assert repr(Preemption("SIGUSR2", grace=5)) == "Preemption(signals=('SIGUSR2',), grace=5.0)"


class Sender(Callback):
    """Send a signal to this process at an event of an epoch, once; note what happens later."""

    def __init__(self, name: str = "SIGUSR1", event: str = "on_train_batch_end", epoch: int = 2) -> None:
        self.name, self.event, self.epoch = name, event, epoch
        self.sent = False
        self.after: list[str] = []
        self.epochs = 0
        self.summary: dict[str, Any] = {}

    def _at(self, event: str, epoch: int) -> None:
        if self.sent:
            self.after.append(event)
        if (event, epoch, self.sent) == (self.event, self.epoch, False):
            self.sent = True
            os.kill(os.getpid(), getattr(signal, self.name))

    def on_pretrain_routine_end(self, trainer):
        self._at("on_pretrain_routine_end", 0)

    def on_train_batch_end(self, trainer):
        self._at("on_train_batch_end", trainer.epoch + 1)

    def on_val_start(self, validator):
        self._at("on_val_start" if validator.training else "final on_val_start", self.epochs + validator.training)

    def on_model_save(self, trainer):
        self._at("on_model_save", trainer.epoch + 1)

    def on_epoch(self, run, record):
        self.epochs = record.epoch
        self._at("on_epoch", record.epoch)

    def on_final_evaluation(self, run, record):
        self._at("on_final_evaluation", record.epoch)

    def on_run_end(self, run, summary):
        self.summary = dict(summary)


def optimizer_in(path: Path) -> bool:
    return torch.load(path, map_location="cpu", weights_only=False)["optimizer"] is not None


@pytest.mark.training
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM"])
@pytest.mark.parametrize("event", ["on_train_batch_end", "on_val_start", "on_model_save", "on_epoch"])
def test_the_epoch_is_finished_and_the_run_can_be_resumed(train, scripted, messages, name, event):
    scripted(VALUES)
    before = {each: signal.getsignal(getattr(signal, each)) for each in ("SIGUSR1", "SIGTERM")}
    # An event of the epoch after the last look at the signals ends the training one epoch later.
    model, callback, sender = YOLO(TINY), Preemption(), Sender(name, event)
    attach(model, sender, callback, SaveBest("mAP50"), JsonlLogger(), strict=True)
    folder = train(model, epochs=5)
    assert (callback.received, callback.left_epoch) == ([name], 2)
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2]
    rows = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert [row.get("epoch") for row in rows] == [1, 2]  # the loggers have had the epoch, and no final evaluation
    assert optimizer_in(folder / "weights" / "last.pt")
    assert sender.summary["status"] == "left early"
    assert sender.summary["stopped_by"] == f"Preemption: {name}"
    assert "resume=True" in sender.summary["next_step"]
    assert callback.outcome() == f"left with epoch 2 by {name}"
    assert [line for line in messages if f"Preemption: {name} came" in line]
    assert {each: signal.getsignal(getattr(signal, each)) for each in before} == before


def left_by(folder: Path) -> dict[str, Any]:
    """Read the part of a run's files that is the same each time."""
    state = json.loads((folder / "callbacks.json").read_text())
    rows = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    return {
        "states": state["callbacks"],
        "status": state["summary"]["status"],
        "epochs": [row["epoch"] for row in results_csv(folder)],
        "rows": [{key: row[key] for key in row if key.startswith(("epoch", "best", "lr/", "metrics"))} for row in rows],
        "files": sorted(path.name for path in (folder / "weights").iterdir()),
        "stripped": not optimizer_in(folder / "weights" / "last.pt"),
    }


def deciders() -> list[Callback]:
    return [SaveBest("mAP50", top_k=2), EarlyStopping(patience=3), ReduceLROnPlateau(patience=0), JsonlLogger()]


@pytest.mark.training
@pytest.mark.parametrize("event", ["on_train_batch_end", "on_epoch"])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_resumed_run_equals_one_that_nothing_has_ended(train, scripted, event, epoch):
    """The fifth epoch is the one in which EarlyStopping ends the run: then the signal changes nothing."""
    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, *deciders(), strict=True)
    whole = left_by(train(model, epochs=6, patience=0, name="whole"))
    scripted(VALUES)
    model, callback = YOLO(TINY), Preemption()
    attach(model, callback, Sender(event=event, epoch=epoch), *deciders(), strict=True)
    folder = train(model, epochs=6, patience=0, name="left")
    assert callback.left_epoch == (epoch + (event == "on_epoch") if epoch < 4 else 0)
    if callback.left_epoch:
        scripted(VALUES[callback.left_epoch :])
        model = YOLO(folder / "weights" / "last.pt")
        attach(model, Preemption(), Sender(epoch=99), *deciders(), strict=True)
        model.train(resume=True)
    left = left_by(folder)
    for name in ("Preemption", "Sender"):
        left["states"].pop(name)
    assert left == whole
    assert (whole["status"], whole["epochs"]) == ("finished", [1, 2, 3, 4, 5])


@pytest.mark.training
def test_an_epoch_that_does_not_end_in_time_is_left_at_the_batch(train, scripted):
    scripted(VALUES)
    model, callback, sender = YOLO(TINY), Preemption(grace=0), Sender(epoch=3)
    attach(model, sender, callback, SaveBest("mAP50"), JsonlLogger(), strict=True)
    with pytest.raises(Terminated) as raised:
        train(model, epochs=5)
    folder = Path(model.trainer.save_dir)
    assert raised.value.code == 128 + signal.SIGUSR1
    assert sender.after == []
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2]
    assert (sender.summary["status"], sender.summary["epochs"]) == ("ended by SIGUSR1", 2)
    assert optimizer_in(folder / "weights" / "last.pt")
    scripted(VALUES[2:])
    resumed, saved = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50")
    attach(resumed, saved, JsonlLogger())
    resumed.train(resume=True)
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2, 3, 4, 5]
    assert saved.best_epoch == 2


@pytest.mark.training
def test_an_epoch_that_is_known_to_be_too_long_is_left_before_the_time_is_over(train, scripted, monkeypatch):
    scripted(VALUES)
    monkeypatch.setattr(remaining_time.EpochTimes, "shortest", property(lambda times: 3600.0 if times.whole else None))
    model, callback, sender = YOLO(TINY), Preemption(grace=600), Sender(epoch=2)
    attach(model, sender, callback)
    with pytest.raises(Terminated):
        train(model, epochs=5)
    assert sender.after == []


@pytest.mark.training
def test_a_real_validation_is_left_too(train):
    class Late(Callback):
        def on_val_start(self, validator):
            if len(results) == 1:
                os.kill(os.getpid(), signal.SIGUSR1)

        def on_epoch(self, run, record):
            results.append(record.epoch)

    results: list[int] = []
    model = YOLO(TINY)
    attach(model, Late(), Preemption(grace=0), strict=True)
    with pytest.raises(Terminated):
        train(model, epochs=4)
    assert [row["epoch"] for row in results_csv(Path(model.trainer.save_dir))] == [1]


@pytest.mark.training
@pytest.mark.parametrize("event", ["on_epoch", "final on_val_start"])
def test_a_run_that_is_over_is_evaluated(train, scripted, event):
    scripted(VALUES)
    model, callback, sender = YOLO(TINY), Preemption(), Sender(event=event, epoch=2)
    attach(model, sender, callback, strict=True)
    folder = train(model, epochs=2)
    assert (callback.left_epoch, callback.outcome()) == (0, "SIGUSR1 came")
    assert "on_final_evaluation" in sender.after
    assert sender.summary["status"] == "finished"
    assert not optimizer_in(folder / "weights" / "last.pt")


@pytest.mark.training
def test_a_signal_in_the_set_up_leaves_the_first_epoch(train, scripted):
    scripted(VALUES)
    model, callback = YOLO(TINY), Preemption()
    attach(model, Sender(event="on_pretrain_routine_end", epoch=0), callback, strict=True)
    folder = train(model, epochs=3)
    assert callback.left_epoch == 1
    assert [row["epoch"] for row in results_csv(folder)] == [1]


@pytest.mark.training
def test_without_a_checkpoint_of_the_epoch_one_is_written(train, scripted):
    scripted(VALUES)
    model, callback = YOLO(TINY), Preemption()
    attach(model, Sender(), callback, SaveBest("mAP50"), strict=True)
    folder = train(model, epochs=4, save=False)
    assert optimizer_in(folder / "weights" / "last.pt")
    scripted(VALUES[2:])
    resumed, saved = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50")
    attach(resumed, Preemption(), saved)
    resumed.train(resume=True)
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2, 3, 4]
    assert saved.best_epoch == 2


@pytest.mark.training
def test_a_handler_of_the_user_wins(train, scripted, messages):
    scripted(VALUES)
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        model, callback, sender = YOLO(TINY), Preemption(), Sender()
        attach(model, sender, callback)
        train(model, epochs=3)
        assert signal.getsignal(signal.SIGUSR1) != before
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]
    assert (callback.received, sender.summary["status"]) == ([], "finished")
    assert "Preemption: SIGUSR1 is left to the handler that other code has set for it" in messages
    assert callback.outcome() == "no signal"


@pytest.mark.training
def test_an_ignored_signal_is_watched_as_a_shell_may_have_ignored_it(train, scripted):
    scripted(VALUES)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        model, callback = YOLO(TINY), Preemption()
        attach(model, Sender(), callback)
        train(model, epochs=3)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert callback.received == ["SIGUSR1"]


@pytest.mark.training
@pytest.mark.parametrize(
    ("text", "signalled", "raised"),
    [
        ("DataLoader worker (pid(s) 1, 2) exited unexpectedly", "before", Terminated),
        ("DataLoader worker (pid 1) is killed by signal: Terminated.", "after", Terminated),
        ("DataLoader worker (pid(s) 1, 2) exited unexpectedly", "", RuntimeError),
        ("something else", "before", RuntimeError),
    ],
)
def test_a_signal_that_ends_the_workers_of_the_loader_too(train, scripted, messages, text, signalled, raised):
    """The error that torch raises then is treated as the signal, and not as a failure."""
    scripted(VALUES)
    model, sender = YOLO(TINY), Sender("SIGTERM", epoch=2 if signalled == "before" else 99)

    def lose_a_worker(trainer: Any) -> None:
        if trainer.epoch == 1:
            if signalled == "after":
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            raise RuntimeError(text)

    attach(model, sender, Preemption(), strict=True)
    model.add_callback("on_train_batch_end", lose_a_worker)
    with pytest.raises(raised):
        train(model, epochs=4)
    name = "SIGTERM" if raised is Terminated else "RuntimeError"
    assert (sender.summary["status"], sender.summary["epochs"]) == (f"ended by {name}", 1)
    assert any("the workers of the loader have ended" in line for line in messages) is (raised is Terminated)


@pytest.mark.training
def test_as_plain_functions_it_changes_nothing_and_says_so(train, scripted, messages):
    scripted(VALUES)
    before = signal.getsignal(signal.SIGUSR1)
    model, callback = YOLO(TINY), Preemption()
    for event in ("on_pretrain_routine_start", "on_pretrain_routine_end", "on_train_start", "on_fit_epoch_end"):
        model.add_callback(event, getattr(callback, event))
    train(model, epochs=1)
    assert signal.getsignal(signal.SIGUSR1) == before
    assert messages == ["Preemption does nothing in this run: it needs a suite, attach(model, Preemption())"]


@pytest.mark.training
def test_outside_the_main_thread_it_says_that_it_does_nothing(train, scripted, messages):
    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, Preemption())
    thread = threading.Thread(target=lambda: train(model, epochs=1))
    thread.start()
    thread.join()
    assert [line for line in messages if "Preemption does nothing in this run: Python handles signals" in line]


@pytest.mark.training
@pytest.mark.parametrize(
    ("variables", "job"),
    [({}, "77"), ({"SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "4"}, "70_4")],
    ids=["job", "array"],
)
def test_slurm_starts_the_job_again(train, scripted, monkeypatch, tmp_path, variables, job):
    scripted(VALUES)
    slurm = StandInSlurm(tmp_path / "bin", monkeypatch.setenv)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    states: list[str] = []

    class Seen(Callback):  # before Preemption in the suite, so that its `on_run_end` is called first
        def on_run_end(self, run, summary):
            states.append(json.loads((run.save_dir / "callbacks.json").read_text())["summary"]["status"])
            assert slurm.calls == []

    model = YOLO(TINY)
    attach(model, Seen(), Sender(), Preemption(), strict=True)
    train(model, epochs=4)
    assert slurm.calls == [f"requeue {job}"]
    assert states == ["left early"]


@pytest.mark.training
@pytest.mark.parametrize(
    ("name", "arguments", "calls"),
    [
        ("SIGUSR1", {"grace": 0}, ["requeue 77"]),
        ("SIGTERM", {}, []),
        ("SIGUSR1", {"requeue": False}, []),
    ],
)
def test_when_slurm_starts_the_job_again(train, scripted, monkeypatch, tmp_path, name, arguments, calls):
    scripted(VALUES)
    slurm = StandInSlurm(tmp_path / "bin", monkeypatch.setenv)
    model = YOLO(TINY)
    attach(model, Sender(name), Preemption(**arguments), strict=True)
    try:
        train(model, epochs=4)
    except Terminated:
        assert arguments == {"grace": 0}
    assert [call for call in slurm.calls if call.startswith("requeue")] == calls


@pytest.mark.training
def test_a_finished_run_is_not_started_again(train, scripted, monkeypatch, tmp_path):
    scripted(VALUES)
    slurm = StandInSlurm(tmp_path / "bin", monkeypatch.setenv)
    model = YOLO(TINY)
    attach(model, Sender(epoch=2), Preemption(grace=60), strict=True)
    train(model, epochs=2)
    assert slurm.calls == []


@pytest.mark.training
def test_a_requeue_that_fails_is_a_warning(train, scripted, monkeypatch, tmp_path, messages):
    scripted(VALUES)
    StandInSlurm(tmp_path / "bin", monkeypatch.setenv, error="Access denied")
    model = YOLO(TINY)
    attach(model, Sender(), Preemption(), strict=True)
    train(model, epochs=4)
    assert "Preemption: job 77 could not be put back into the queue: Access denied" in messages


@pytest.mark.training
@pytest.mark.parametrize("in_the_epoch", [True, False])
@pytest.mark.usefixtures("standing_clock")
def test_wandb_marks_the_run_and_leaves_time_for_the_rest(train, scripted, monkeypatch, in_the_epoch):
    import wandb

    if in_the_epoch:
        monkeypatch.setattr(remaining_time.EpochTimes, "shortest", property(lambda _: 3600.0))
    monkeypatch.setenv("WANDB_MODE", "offline")
    scripted(VALUES)
    calls: list[Any] = []
    mark, close = wandb.Run.mark_preempting, WandbSession.close

    def marked(run: Any) -> None:
        calls.append("preempting")
        mark(run)

    def closed(session: Any, uploads: Any, *, failed: bool) -> None:
        calls.append((session.finish_timeout, failed))
        close(session, uploads, failed=failed)

    monkeypatch.setattr(wandb.Run, "mark_preempting", marked)
    monkeypatch.setattr(WandbSession, "close", closed)
    model = YOLO(TINY)
    attach(model, Sender(), Preemption(grace=20), WandbLogger(images=0, log_model=False), strict=True)
    with pytest.raises(Terminated) if in_the_epoch else nullcontext():
        train(model, epochs=4)
    (limit, failed), *marks = sorted(calls, key=str)
    assert (failed, set(marks)) == (True, {"preempting"})  # wandb calls itself again where it attaches the run
    assert limit == 10.0  # half of the grace


@pytest.mark.training
@pytest.mark.parametrize(("name", "seconds"), [("SIGUSR1", 500.0), ("SIGTERM", 30.0)])
def test_the_time_that_is_left_under_slurm(train, scripted, monkeypatch, standing_clock, name, seconds):
    scripted(VALUES)
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(standing_clock.time() + 500))
    left: list[float] = []

    class Seen(Callback):
        def on_train_end(self, trainer):
            from yolo_callbacks import TrainingRun

            left.append(TrainingRun.of(trainer).seconds_left)

    model = YOLO(TINY)
    attach(model, Sender(name), Preemption(requeue=False), Seen(), strict=True)
    train(model, epochs=4)
    assert left[0] == seconds
    model = YOLO(TINY)
    attach(model, Preemption(), Seen(), strict=True)
    scripted(VALUES)
    train(model, epochs=1, name="no-signal")
    assert left[1] == math.inf


# Several ranks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch):
    """The store of the ranks, on this machine."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    return RankServer()


@pytest.mark.parametrize("asking", [(0,), (2,), (0, 1, 2)])
def test_ranks_that_step_together_leave_after_the_same_batch(server, asking):
    """Two real ranks are in tests/training/test_ranks.py."""
    ranks = [JointLeave(rank, 3, lambda: server.address) for rank in range(3)]
    step = threading.Barrier(3)
    left: dict[int, int] = {}
    started = time.monotonic()

    def train(rank: int) -> None:
        for batch in range(1, 1000):
            step.wait(30)  # a rank that is alone in a step waits for the others
            time.sleep(0.001 * (batch * (rank + 1) % 7))
            if batch == 5 and rank in asking:
                assert ranks[rank].ask("SIGUSR1", time.monotonic() + 100)
            if ranks[rank].leaves():
                left[rank] = batch
                return

    threads = [threading.Thread(target=train, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(left) == 3
    assert len(set(left.values())) == 1
    assert left[0] > 5
    assert [rank.reason for rank in ranks] == ["SIGUSR1"] * 3
    # each rank limits its loggers: rank 0 would wait for a dead server until it is killed
    assert all(started + 99 < rank.kill_time < time.monotonic() + 100 for rank in ranks)
    for rank in ranks:
        rank.close()
        assert not rank._thread.is_alive()
    order: list[int] = []
    others = [threading.Thread(target=lambda rank=rank: (rank.end_together(30), order.append(1))) for rank in ranks[1:]]
    for thread in others:
        thread.start()
    time.sleep(0.2)
    order.append(0)
    ranks[0].end_together(0)
    for thread in others:
        thread.join(60)
    assert order == [0, 1, 1]  # a launcher would end rank 0 otherwise, while it writes its files


def test_nobody_leaves_unless_a_rank_asks_for_it(server):
    ranks = [JointLeave(rank, 2, lambda: server.address) for rank in range(2)]
    assert not any(rank.leaves() for rank in ranks for _ in range(100))
    for rank in ranks:
        rank.close()
        assert (rank._thread.is_alive(), rank.reason) == (False, "")


def test_a_rank_does_not_leave_a_validation_alone_after_the_agreement(server):
    """The agreed batch may be one that never comes: that after the last one of the epoch."""
    ranks = [JointLeave(rank, 2, lambda: server.address) for rank in range(2)]
    assert ranks[1].ask("SIGUSR1", time.monotonic() + 100)
    for rank in ranks:
        rank._thread.join(30)
    assert all(rank.ask("SIGUSR1", 0) for rank in ranks)


def test_the_time_of_another_rank_limits_the_loggers_of_this_one(train, scripted):
    class OtherRank(Callback):
        """Offers what another rank offers with the exchange of the epoch."""

        def on_epoch(self, run, record):
            run.offer("preemption/seconds_left", 100.0)

    from yolo_callbacks import TrainingRun

    left = []

    class Seen(Callback):
        is_logger = True

        def on_train_end(self, trainer):
            left.append(TrainingRun.of(trainer).seconds_left)

    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, OtherRank(), Preemption(requeue=False), Seen(), strict=True)
    train(model, epochs=1)
    assert 0 < left[0] < 100


def test_a_rank_without_a_store_leaves_alone():
    joint = JointLeave(1, 2, lambda: None)
    assert not joint.ask("SIGUSR1", 0)
    assert not joint.leaves()
    joint.close()


def test_a_rank_that_gets_no_answer_leaves_alone(server, monkeypatch):
    """The thread of the other one has ended."""
    monkeypatch.setattr(joint_leave, "_LONGEST", 0.05)
    joint = JointLeave(0, 2, lambda: server.address)
    assert joint.ask("SIGUSR1", 0)
    deadline, leaves = time.monotonic() + 30, False
    while not leaves and time.monotonic() < deadline:
        leaves = joint.leaves()
        time.sleep(0.01)
    assert leaves
    joint.close()
