"""SpeedMonitor in real trainings: the share that waits for data, the advice, the time to the end, and no waiting."""

from __future__ import annotations

import json
from collections import Counter
from time import perf_counter, sleep
from types import SimpleNamespace
from typing import Any

import digits
import pytest
import torch
from trainings import TINY, TINY_CLASSIFY
from ultralytics import YOLO
from ultralytics.data.base import BaseDataset
from ultralytics.data.dataset import ClassificationDataset

from yolo_callbacks import Callback, EarlyStopping, JsonlLogger, LambdaCallback, SpeedMonitor, ValidateEvery, attach
from yolo_callbacks.callbacks import speed_monitor
from yolo_callbacks.decisions.training_speed import SlowRank


class Clock:
    """Stands in for `perf_counter` of the callback."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(speed_monitor, "perf_counter", lambda: self.now)


class Working(Callback):
    """Stands last in the suite: each batch, validation and epoch takes a given time."""

    def __init__(self, clock: Clock, *, batch: float = 4.0, validation: float = 10.0, rest: float = 2.0) -> None:
        self.clock, self.batch, self.validation, self.rest = clock, batch, validation, rest

    def on_train_batch_start(self, trainer):
        self.clock.now += self.batch

    def on_val_start(self, validator):
        self.clock.now += self.validation


class Waiting(Callback):
    """Makes the data set slow: each batch of 4 images is waited for."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def on_train_start(self, trainer):
        dataset = trainer.train_loader.dataset
        kind = type(dataset)

        def slow(dataset: Any, index: int) -> Any:
            self.clock.now += self.seconds / 4
            return kind.__getitem__(dataset, index)

        dataset.__class__ = type(kind.__name__, (kind,), {"__getitem__": slow})


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def rows_of(folder) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k.startswith("speed/")} for line in lines if "epoch" in line]


@pytest.mark.training
def test_the_scalars_of_each_epoch(train, scripted, clock):
    scripted([0.1, 0.2, 0.3, 0.4])
    model, monitor = YOLO(TINY), SpeedMonitor()
    attach(model, monitor, Working(clock), Waiting(clock, 1.0), JsonlLogger(), strict=True)
    rows = rows_of(train(model, epochs=4, patience=100))  # 8 images in 2 batches
    expected = {"speed/images_per_second": 8 / 10, "speed/data_share": 2 / 10, "speed/validation_share": 10 / 20}
    for row in rows:
        assert {key: row[key] for key in expected} == pytest.approx(expected)
    assert [row["speed/seconds_left"] for row in rows] == [3 * 20 + 10, 2 * 20 + 10, 20 + 10, 10]
    assert monitor.logged_scalars("detect") == tuple(rows[0])
    assert monitor.outcome() == "0.8 images/s, 20 % of training waits for data, validation 50 % of the time"
    assert monitor.advice == ""


@pytest.mark.training
@pytest.mark.parametrize("event", ["on_train_epoch_start", "on_train_batch_start", "on_train_batch_end"])
def test_other_callbacks_are_no_data(train, scripted, clock, event):
    scripted([0.1, 0.2])
    model, monitor = YOLO(TINY), SpeedMonitor()

    def work(trainer: Any) -> None:
        clock.now += 5.0

    model.add_callback(event, work)
    attach(model, monitor, LambdaCallback(**{event: work}), strict=True)
    model.add_callback(event, work)
    model.add_callback("on_train_start", lambda trainer: trainer.callbacks[event].append(work))
    train(model, epochs=2)
    assert monitor.speed["data_share"] == 0.0
    assert "run_callbacks" not in vars(model.trainer)


@pytest.mark.training
def test_the_time_left_if_nothing_improves(train, scripted, clock):
    scripted([0.5] * 6)
    model = YOLO(TINY)
    attach(model, EarlyStopping("mAP50", patience=4), SpeedMonitor(), Working(clock), JsonlLogger(), strict=True)
    rows = rows_of(train(model, epochs=6, patience=100))  # an epoch takes 18 s, a validation 10
    assert [row["speed/seconds_left"] for row in rows] == [5 * 18 + 10, 4 * 18 + 10, 3 * 18 + 10, 2 * 18 + 10, 10]
    assert [row["speed/seconds_left_at_least"] for row in rows] == [82, 64, 46, 28, 10]


@pytest.mark.training
def test_ultralytics_own_stopper_ends_the_run_too(train, scripted, clock):
    scripted([0.5, 0.6, 0.5, 0.5])
    model = YOLO(TINY)
    attach(model, SpeedMonitor(), Working(clock), JsonlLogger(), strict=True)
    rows = rows_of(train(model, epochs=9, patience=2))
    assert [row["speed/seconds_left_at_least"] for row in rows] == [2 * 18 + 10, 2 * 18 + 10, 18 + 10, 10]
    assert rows[-1]["speed/seconds_left"] == 10  # it has stopped


@pytest.mark.training
def test_time_ends_the_run_first(train, scripted, clock, monkeypatch):
    scripted([0.5, 0.6])
    monkeypatch.setattr("yolo_callbacks.trainer.stop_reason.time", SimpleNamespace(time=lambda: 95.0))
    model = YOLO(TINY)

    class Limited(Callback):
        """The run has `time=` of 100 s, of which 5 are left."""

        def on_epoch(self, run, record):
            run.trainer.args.time, run.trainer.train_time_start = 100 / 3600, 0.0

        def on_train_epoch_start(self, trainer):
            trainer.args.time = None  # Ultralytics must not obey it

    attach(model, Limited(), SpeedMonitor(), Working(clock), JsonlLogger(), strict=True)
    model.add_callback("on_fit_epoch_end", lambda trainer: setattr(trainer.args, "time", None))
    rows = rows_of(train(model, epochs=2, patience=100))
    assert [row["speed/seconds_left"] for row in rows] == [5 + 10, 10]
    limits = SimpleNamespace(args=SimpleNamespace(time=0.02), train_time_start=10.0)  # 72 s, of which 85 are over
    assert speed_monitor.TrainingRun(limits).time_limit == 0.0
    assert speed_monitor.TrainingRun(SimpleNamespace(args=SimpleNamespace(time=None))).time_limit == float("inf")


@pytest.mark.training
def test_epochs_without_validation_are_expected(train, scripted, clock):
    scripted([0.5] * 6)
    model = YOLO(TINY)
    attach(model, ValidateEvery(2), SpeedMonitor(), Working(clock), JsonlLogger(), strict=True)
    rows = rows_of(train(model, epochs=6, patience=0))
    # 8 s without a validation; 8 s and 10 s with one
    assert [row["speed/validation_share"] for row in rows] == pytest.approx([0, 10 / 18] * 3)
    assert rows[2]["speed/seconds_left"] == pytest.approx(3 * (8 + 10 / 2) + 10)


@pytest.mark.training
@pytest.mark.parametrize("task", ["detect", "classify"])
def test_the_share_is_that_of_a_data_set_that_sleeps(train, monkeypatch, messages, tmp_path, task):
    """The truth is what the data set itself has measured: without workers the loop waits exactly as long."""
    kind = BaseDataset if task == "detect" else ClassificationDataset
    load, loaded = kind.__getitem__, []

    def slow(self: Any, index: int) -> Any:
        started = perf_counter()
        sleep(0.01)
        item = load(self, index)
        loaded[-1] += perf_counter() - started
        return item

    class Epochs(Callback):
        def on_train_epoch_start(self, trainer):
            loaded.append(0.0)
            self.started = perf_counter()

        def on_train_epoch_end(self, trainer):
            shares.append(loaded[-1] / (perf_counter() - self.started))

    shares: list[float] = []
    monkeypatch.setattr(kind, "__getitem__", slow)
    data = {} if task == "detect" else {"data": str(digits.for_task(tmp_path / "data", task, train=8, val=4, size=32))}
    model, monitor = YOLO(TINY if task == "detect" else TINY_CLASSIFY), SpeedMonitor()
    attach(model, Epochs(), monitor, JsonlLogger(), strict=True)
    rows = rows_of(train(model, epochs=3, val=False, **data))
    assert [row["speed/data_share"] for row in rows] == pytest.approx(shares, abs=0.05)
    assert min(shares) > 0.2
    advice = [line for line in messages if line.startswith("SpeedMonitor: ")]
    assert advice == [f"SpeedMonitor: {monitor.advice}"]
    assert monitor.advice.startswith(f"{100 * rows[1]['speed/data_share']:.0f} % of the training time waits for data: ")
    assert monitor.advice.partition(": ")[2] in monitor.outcome()


@pytest.mark.training
def test_a_run_of_one_epoch_is_advised_too(train, scripted, clock, messages):
    scripted([0.5])
    model, monitor = YOLO(TINY), SpeedMonitor()
    attach(model, monitor, Working(clock), Waiting(clock, 4.0), strict=True)
    train(model, epochs=1)
    assert monitor.advice.startswith("50 % of the training time waits for data: ")


@pytest.mark.training
def test_it_never_reads_a_tensor_nor_waits_for_a_device(train, scripted, monkeypatch):
    """Count what would wait for a device, with the callback and without it."""
    calls: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments: Any, **keywords: Any) -> Any:
            calls[name] += 1
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, counting)

    for name in ("item", "tolist", "cpu", "numpy", "__float__", "__bool__", "__int__", "__format__", "to"):
        count(torch.Tensor, name)
    count(torch.cuda, "synchronize")

    found = []
    for callback in (Callback(), SpeedMonitor()):
        scripted([0.1, 0.2])
        model = YOLO(TINY)
        attach(model, callback, strict=True)
        calls.clear()
        train(model, epochs=2)
        found.append(dict(calls))
    assert found[1] == found[0]
    assert found[0]["item"] > 0


@pytest.mark.training
def test_a_gpu_is_read_beside_the_training(train, scripted, monkeypatch):
    scripted([0.1, 0.2])
    made: list[Any] = []

    class Use:
        def __init__(self, device: Any) -> None:
            made.append(self)
            self.closed = False

        def take(self) -> float:
            return 0.75

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(speed_monitor, "AcceleratorUse", Use)
    monkeypatch.setattr(speed_monitor.TrainingRun, "device", property(lambda run: SimpleNamespace(type="cuda")))
    model = YOLO(TINY)
    attach(model, SpeedMonitor(), JsonlLogger())
    rows = rows_of(train(model, epochs=2))
    assert [row["speed/accelerator_use"] for row in rows] == [0.75, 0.75]
    assert [use.closed for use in made] == [True]


@pytest.mark.training
def test_a_failing_training_ends_its_thread(train, scripted, monkeypatch):
    scripted([0.1, 0.2])
    closed = []
    use = SimpleNamespace(take=lambda: None, close=lambda: closed.append(True))
    monkeypatch.setattr(speed_monitor, "AcceleratorUse", lambda device: use)
    monkeypatch.setattr(speed_monitor.TrainingRun, "device", property(lambda run: SimpleNamespace(type="cuda")))
    model, monitor = YOLO(TINY), SpeedMonitor()
    attach(model, monitor)

    def fail(trainer: Any) -> None:
        raise KeyboardInterrupt

    model.add_callback("on_train_batch_end", fail)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=2)
    assert closed == [True]
    assert monitor.outcome() == "nothing measured: no epoch was complete"


def test_the_slowest_rank_is_named_once(messages):
    monitor, run = SpeedMonitor(), SimpleNamespace(is_main=True)
    for seconds in ([1.0, 1.0], [1.0, 9.0], [1.0, 9.5], []):
        run.offers = lambda key, seconds=seconds: seconds
        monitor._find_slowest(run)
    assert messages == ["SpeedMonitor: rank 1 is the slowest: 9 s an epoch of its own, the others 1 s"]
    assert monitor.slowest == SlowRank(1, 9.5, 1.0)
    assert "rank 1 is the slowest: 9.5 s" not in (monitor.outcome() or "")


def test_no_event_of_a_batch_passes_through_the_suite():
    """Two reads of a clock are all that a batch costs."""
    for event in ("on_train_batch_start", "on_train_batch_end"):
        assert getattr(SpeedMonitor, event) is getattr(Callback, event)
