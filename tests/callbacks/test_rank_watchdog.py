"""RankWatchdog: what rank 0 makes of the beats of all ranks, and real trainings that hang.

Two real ranks are in tests/training/test_ranks.py, launched ones in tests/slow/test_watchdog.py.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import threading
import time
from typing import Any

import pytest
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, RankWatchdog, attach
from yolo_callbacks.callbacks.watchdog_parts import watcher as watching
from yolo_callbacks.callbacks.watchdog_parts.heartbeat import Beat, Heartbeat
from yolo_callbacks.callbacks.watchdog_parts.lookout import Lookout
from yolo_callbacks.callbacks.watchdog_parts.stacks import StackFile, innermost_calls
from yolo_callbacks.decisions.rank_progress import BatchTimes, Part, Place
from yolo_callbacks.utils.signals import Terminated


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"timeout": "soon"}, ValueError, "timeout must be a duration such as '11:50:00', '1h30m' or 5400"),
        ({"timeout": 0}, ValueError, "timeout must be greater than 0, received 0"),
        ({"timeout": None}, TypeError, "timeout must be a number, received None"),
        ({"slow": 0.5}, ValueError, "slow must be finite and at least 1, received 0.5"),
        ({"slow": "2"}, TypeError, "slow must be a number, received '2'"),
        ({"end": 1}, TypeError, "end must be True or False, received 1"),
    ],
)
def test_wrong_arguments(arguments, error, said):
    with pytest.raises(error, match=said):
        RankWatchdog(**arguments)


def test_the_arguments_are_shown():
    assert repr(RankWatchdog()) == "RankWatchdog()"
    assert repr(RankWatchdog("5m", slow=None, end=True)) == "RankWatchdog(timeout='5m', slow=None, end=True)"


# The beats of all ranks -----------------------------------------------------------------------------------------------


def beat(number: int, place: Place, idle: float, *, host: str = "gpu01", **others: Any) -> Beat:
    return Beat.of(Beat(place, idle, host=host, pid=7, number=number, **others).to_text())


STEP, WAIT = Place(3, Part.TRAINING, 15), Place(3, Part.TRAINING, 14)


def test_a_stuck_rank_is_named_once_for_each_place():
    lookout = Lookout(range(2), 60.0, 2.0, start=0.0)
    lookout.hear(0, beat(1, STEP, 59.0), 100.0)
    lookout.hear(1, beat(1, WAIT, 59.0, host="gpu02", stack=("read (disk.py:3)", "fetch (loader.py:9)")), 100.0)
    assert lookout.find_stuck(100.5) == []
    [finding] = lookout.find_stuck(101.0)
    assert finding.shown() == {"kind": "stuck", "rank": 1, "epoch": 3, "seconds": 60.0}
    assert finding.text == (
        "rank 1 (gpu02, process 7) has made no progress for 60 s, between batches, before batch 8 of epoch 3; rank 0 "
        "is waiting for it. It is in read (disk.py:3), called by fetch (loader.py:9). Its stacks are written to "
        "stacks-rank1.txt in the folder of the run"
    )
    assert lookout.find_stuck(102.0) == []
    assert lookout.find_recovered(102.0) == []
    later = Place(3, Part.TRAINING, 16)
    for rank in (0, 1):
        lookout.hear(rank, beat(2, later, 0.0), 110.0)
    assert lookout.find_recovered(110.0) == [
        "rank 1 goes on after about 69 s, between batches, before batch 9 of epoch 3"
    ]
    assert lookout.find_recovered(111.0) == []
    lookout.hear(0, beat(3, later._replace(batch=17), 70.0), 180.0)
    lookout.hear(1, beat(3, later, 70.0), 180.0)
    assert [finding.rank for finding in lookout.find_stuck(180.0)] == [1]


def test_a_process_that_has_ended_is_named():
    lookout = Lookout(range(3), 60.0, 2.0, start=0.0)
    lookout.hear(1, beat(1, WAIT, 0.1), 100.0)
    for rank in (0, 2):
        lookout.hear(rank, beat(1, STEP, 0.1), 100.0)
    for moment in range(101, 162):
        lookout.hear(0, beat(moment, STEP, moment - 99.9), moment)
        lookout.hear(1, beat(1, WAIT, 0.1), moment)  # the store keeps its last report
        lookout.hear(2, beat(moment, STEP, moment - 99.9), moment)
    [finding] = lookout.find_stuck(161.0)
    assert finding.text == (
        "rank 1 (gpu01, process 7) does not answer any more, for 61 s: its process has ended or hangs. It was "
        "between batches, before batch 8 of epoch 3; ranks 0, 2 are waiting for it"
    )


def test_a_process_that_is_stopped_is_named_and_not_those_that_wait_for_it():
    lookout = Lookout(range(3), 60.0, 2.0, start=0.0)
    for rank in (0, 1, 2):
        lookout.hear(rank, beat(1, STEP, 1.0), 100.0)
    for rank in (0, 2):
        lookout.hear(rank, beat(2, STEP, 61.0, stack=("backward (graph.py:1)",)), 160.0)
    [finding] = lookout.find_stuck(160.0)
    assert (finding.rank, finding.stacks) == (1, (1,))
    assert finding.text == (
        "rank 1 (gpu01, process 7) does not answer any more, for 60 s: its process has ended or hangs. It was "
        "in batch 8 of epoch 3; ranks 0, 2 are waiting for it"
    )
    for rank in (0, 1, 2):  # it goes on after SIGCONT, and has not left its place yet
        lookout.hear(rank, beat(3, STEP, 71.0), 170.0)
    assert lookout.find_stuck(170.0) == []


def test_where_all_stand_and_answer_none_is_named_as_the_cause():
    lookout = Lookout(range(4), 60.0, 2.0, start=0.0)
    for rank in range(3):
        calls = ("sleep (mine.py:3)",) if rank == 1 else ("backward (graph.py:1)", "step (t.py:2)")
        lookout.hear(rank, beat(1, STEP, 60.0 + rank, stack=calls), 100.0)
    lookout.hear(3, beat(1, WAIT, 1.0, left=True), 100.0)
    [finding] = lookout.find_stuck(100.0)
    assert finding.shown() == {"kind": "standstill", "rank": 0, "epoch": 3, "seconds": 60.0}
    assert finding.stacks == (0, 1, 2)
    assert finding.text == (
        "ranks 0, 1, 2 hang in the same place, and all of them answer: no progress for 60 s, in batch 8 of epoch 3; "
        "rank 3 is gone from the training. A rank that is in no exchange is the cause: ranks 0, 2 are in backward "
        "(graph.py:1), called by step (t.py:2); rank 1 is in sleep (mine.py:3). Their stacks are written to "
        "stacks-rank<r>.txt in the folder of the run"
    )
    assert lookout.find_stuck(101.0) == []


def test_a_rank_that_was_never_heard_of_is_named_once_and_hides_no_other():
    lookout = Lookout(range(3), 60.0, 2.0, start=0.0)
    lookout.hear(0, beat(1, STEP, 1.0), 59.0)
    lookout.hear(1, beat(1, WAIT, 1.0), 59.0)
    assert lookout.find_stuck(59.0) == []
    [finding] = lookout.find_stuck(61.0)
    assert finding.text.startswith("rank 2 was never heard of in 61 s: it cannot reach rank 0")
    lookout.hear(0, beat(2, STEP, 60.0), 118.0)
    lookout.hear(1, beat(2, WAIT, 60.0), 118.0)
    assert [finding.rank for finding in lookout.find_stuck(118.0)] == [1]


def test_ranks_that_wait_for_one_that_has_left_say_so():
    lookout = Lookout(range(2), 60.0, 2.0, start=0.0)
    lookout.hear(0, beat(1, STEP, 61.0), 100.0)
    lookout.hear(1, beat(1, WAIT, 1.0, left=True), 100.0)
    [finding] = lookout.find_stuck(100.0)
    assert (finding.rank, "; rank 1 is gone from the training. " in finding.text) == (0, True)


def test_slow_ranks_are_named_when_all_have_told_their_times():
    lookout = Lookout(range(2), 60.0, 2.0, start=0.0)
    quick, slow = BatchTimes(0.01, 0.5, 100), BatchTimes(0.3, 0.5, 100)
    lookout.hear(0, beat(1, STEP, 0.0, times=((1, quick), (2, quick))), 1.0)
    assert lookout.find_slow() == []
    lookout.hear(1, beat(1, STEP, 0.0, times=((1, slow), (2, quick))), 1.0)
    [finding] = lookout.find_slow()
    assert finding.shown() == {"kind": "slow", "rank": 1, "epoch": 1, "seconds": 0.3}
    assert finding.text == (
        "rank 1 (gpu01, process 7) is slow in epoch 1: its loader and its callbacks take 0.3 s for a batch, those of "
        "the others 0.01 s"
    )
    for rank in (0, 1):
        lookout.hear(rank, beat(2, STEP, 0.0, times=((1, slow), (2, quick), (3, (slow, quick)[rank]))), 2.0)
    assert [(each.rank, each.epoch) for each in lookout.find_slow()] == [(0, 3)]
    off = Lookout(range(2), 60.0, None, start=0.0)
    off.hear(0, beat(1, STEP, 0.0, times=((1, quick),)), 1.0)
    off.hear(1, beat(1, STEP, 0.0, times=((1, slow),)), 1.0)
    assert off.find_slow() == []


def test_the_heartbeat_knows_how_long_a_rank_takes_for_itself(monkeypatch):
    clock = iter([0.0, 10.0, 12.0, 15.0, 16.0, 20.0, 21.0, 22.0])
    monkeypatch.setattr("yolo_callbacks.callbacks.watchdog_parts.heartbeat.monotonic", lambda: next(clock))
    heart = Heartbeat()
    heart.start_epoch(4)
    heart.start_step()
    assert heart.state == (Place(4, Part.TRAINING, 1), 12.0)
    heart.end_step()
    assert heart.state == (Place(4, Part.TRAINING, 2), 15.0)
    heart.start_step()
    heart.end_step()
    heart.end_batches()
    assert heart.times == ((4, BatchTimes(own=2.0, whole=5.5, batches=2)),)
    assert heart.state == (Place(4, Part.TRAINED), 22.0)


# The stacks -----------------------------------------------------------------------------------------------------------


def test_the_stacks_of_all_threads_are_written_without_values(tmp_path):
    inside, leave = threading.Event(), threading.Event()

    def wait_somewhere(password: str) -> None:
        inside.set()
        leave.wait(30)

    thread = threading.Thread(target=wait_somewhere, args=("s3cret",), name="reader")
    thread.start()
    try:
        inside.wait(30)
        file = StackFile(tmp_path / "stacks.txt")
        file.write("rank 0")
        assert any(call.startswith("wait_somewhere (test_rank_watchdog.py:") for call in innermost_calls(thread.ident))
    finally:
        leave.set()
        thread.join()
    file.close()
    text = (tmp_path / "stacks.txt").read_text()
    assert text.splitlines()[0].endswith("  rank 0")
    reader = text[text.index("Thread reader (most recent call last):") :]
    assert reader.index("in run") < reader.index("in wait_somewhere")
    assert "in test_the_stacks_of_all_threads_are_written_without_values" in text
    assert "s3cret" not in text
    assert "leave.wait" not in text  # a line of code may hold a secret
    assert innermost_calls(thread.ident) == ()


def test_the_stacks_are_written_where_no_thread_runs(tmp_path, monkeypatch):
    """A call of C that keeps the lock of the interpreter stops the thread that watches too."""
    armed: list[tuple[float, Any]] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, file: armed.append((seconds, file)))
    file = StackFile(tmp_path / "stacks.txt")
    file.arm(5.0)
    [(seconds, stream)] = armed
    assert seconds == 5.0
    faulthandler.dump_traceback(stream)
    file.close()
    assert "in test_the_stacks_are_written_where_no_thread_runs" in (tmp_path / "stacks.txt").read_text()


def test_a_call_that_keeps_the_lock_of_the_interpreter_is_found(tmp_path):
    path = tmp_path / "stacks.txt"
    rules = watching.WatchRules(0.3, 2.0, end=False)
    watcher = watching.RankWatcher(0, 1, Heartbeat(), rules, StackFile(path), lambda: None, lambda finding: None)
    watcher.start()
    time.sleep(0.2)  # its thread sets the timer
    ctypes.PyDLL(None).usleep(1_500_000)
    text = path.read_text()
    watcher.close()
    assert "Timeout" in text
    assert "in test_a_call_that_keeps_the_lock_of_the_interpreter_is_found" in text


# Real trainings of one process ----------------------------------------------------------------------------------------


class Stands(Callback):
    """Stands once, in the second epoch, until a condition holds."""

    def __init__(self, event: str, until: Any) -> None:
        self.event, self.until = event, until
        self.stood = 0

    def _stand(self, event: str, epoch: int) -> None:
        end = time.monotonic() + 30
        if (event, epoch, self.stood) == (self.event, 2, 0):
            self.stood += 1
            while not self.until() and time.monotonic() < end:
                time.sleep(0.01)

    def on_train_batch_end(self, trainer):
        self._stand("on_train_batch_end", trainer.epoch + 1)

    def on_epoch(self, run, record):
        self._stand("on_epoch", record.epoch)


@pytest.mark.training
def test_one_process_that_stands_is_named_and_goes_on(train, scripted, messages):
    scripted([0.1, 0.2, 0.3])
    watchdog = RankWatchdog(timeout=0.3)
    stands = Stands("on_train_batch_end", lambda: any("Its stacks are written" in line for line in messages))
    model = YOLO(TINY)
    attach(model, watchdog, stands, strict=True)
    folder = train(model, epochs=3)
    said = [line for line in messages if "before batch 2 of epoch 2. It is in _stand (test_rank_watchdog.py:" in line]
    assert len(said) == 1
    assert ("stuck", 0, 2) in [(each["kind"], each["rank"], each["epoch"]) for each in watchdog.findings]
    assert any(line.startswith("RankWatchdog: rank 0 goes on after about") for line in messages)
    assert "in on_train_batch_end" in (folder / "stacks-rank0.txt").read_text()
    assert watchdog.outcome().startswith("stuck ")
    assert not [thread for thread in threading.enumerate() if "watchdog" in thread.name]


@pytest.mark.training
def test_a_training_that_goes_on_leaves_no_file(train, scripted, messages):
    scripted([0.1, 0.2])
    watchdog = RankWatchdog().in_epochs("5:")
    seen: list[Any] = []
    model = YOLO(TINY)
    attach(model, watchdog, strict=True)
    model.add_callback("on_train_epoch_end", lambda trainer: seen.append(watchdog._heartbeat.state[0]))
    folder = train(model, epochs=2)
    assert seen == [Place(1, Part.TRAINED), Place(2, Part.TRAINED)]  # `in_epochs` does not make it blind
    assert (watchdog.findings, watchdog.outcome()) == ([], "no rank was stuck or slow")
    assert not list(folder.glob("stacks-*"))
    assert not [line for line in messages if line.startswith("RankWatchdog:")]
    assert not [thread for thread in threading.enumerate() if "watchdog" in thread.name]


@pytest.mark.training
def test_it_ends_a_training_that_stands_if_it_is_asked_to(train, scripted, messages):
    scripted([0.1, 0.2, 0.3])
    model = YOLO(TINY)
    attach(model, RankWatchdog(timeout=0.3, end=True), Stands("on_epoch", lambda: False), strict=True)
    with pytest.raises(Terminated):
        train(model, epochs=3)
    assert any("RankWatchdog ends the training" in line for line in messages)
    assert not [thread for thread in threading.enumerate() if "watchdog" in thread.name]


@pytest.mark.training
def test_a_failing_training_ends_the_watch(train, scripted):
    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, RankWatchdog())
    model.add_callback("on_train_epoch_end", lambda trainer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(model, epochs=2)
    assert not [thread for thread in threading.enumerate() if "watchdog" in thread.name]


@pytest.mark.training
def test_a_folder_that_cannot_be_written_costs_the_stacks_only(train, scripted, monkeypatch, messages):
    scripted([0.1])

    def refuse(path: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("yolo_callbacks.callbacks.rank_watchdog.StackFile", refuse)
    watchdog = RankWatchdog(timeout=60)
    model = YOLO(TINY)
    attach(model, watchdog, strict=True)
    train(model, epochs=1)
    assert any("RankWatchdog writes no stacks in this run: [Errno 13]" in line for line in messages)


@pytest.mark.training
def test_as_plain_functions_it_does_nothing_and_says_so(train, scripted, messages):
    scripted([0.1])
    model, watchdog = YOLO(TINY), RankWatchdog()
    for event in ("on_train_start", "on_train_epoch_start", "on_train_batch_end"):
        model.add_callback(event, getattr(watchdog, event))
    train(model, epochs=1)
    assert "RankWatchdog does nothing in this run: it needs a suite, attach(model, RankWatchdog())" in messages
    assert not [thread for thread in threading.enumerate() if "watchdog" in thread.name]


def test_the_thread_survives_a_fault_of_its_own(caplog, monkeypatch):
    """It says so, and ends; nothing reaches the training."""
    monkeypatch.setattr(watching.RankWatcher, "_look", lambda self, left: 1 / 0)
    rules = watching.WatchRules(1.0, 2.0, end=False)
    watcher = watching.RankWatcher(0, 1, Heartbeat(), rules, None, lambda: None, lambda finding: None)
    with caplog.at_level(logging.ERROR, "ultralytics.yolo_callbacks"):
        watcher.start()
        watcher._thread.join(30)
    assert "RankWatchdog failed, and watches this rank no longer" in caplog.text
    watcher.close()


def test_the_state_is_restored():
    before, after = RankWatchdog(), RankWatchdog()
    before.findings = [{"kind": "stuck", "rank": 1, "epoch": 3, "seconds": 60.5}]
    after.load_state_dict(before.state_dict())
    assert after.findings == before.findings
    assert before.outcome() == "stuck once: rank 1"
    assert after.outcome() == "no rank was stuck or slow (before the resume: stuck once: rank 1)"
    after.findings += [{"kind": "standstill", "rank": 0, "epoch": 4, "seconds": 60.5}] * 2
    assert after.outcome() == "all ranks hung in one place 2 times (before the resume: stuck once: rank 1)"
    with pytest.raises(ValueError, match="kind"):
        after.load_state_dict({"findings": [{"kind": "odd"}]})
