"""State of any shape: what is written by other versions, damaged or foreign never ends a training nor decides in it."""

from __future__ import annotations

import json
import logging
import math
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from state_mutations import EPOCH, KINDS, RATE, StandIn, callbacks, copy_of_real_state, mutate
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, SaveBest, TrainingRun, attach
from yolo_callbacks.state.state_file import read_state
from yolo_callbacks.suite.suite import Suite
from yolo_callbacks.trainer.checkpoint_copies import holds_epoch
from yolo_callbacks.utils.fields import (
    SCHEMA,
)
from yolo_callbacks.utils.files import LOGGER

NAN, INF = math.nan, math.inf


class LogRecorder(logging.Handler):
    """Collect the messages of the library with their levels."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def warnings(self) -> list[str]:
        """But for the one of a checkpoint that epoch 3 had replaced, where that is decided on again."""
        said = [record.getMessage() for record in self.records if record.levelno >= logging.WARNING]
        return [message for message in said if "best-mAP50-epoch001.pt no longer holds epoch 1" not in message]

    @property
    def tracebacks(self) -> list[Any]:
        return [record.exc_info for record in self.records if record.exc_info]


@pytest.fixture
def logged() -> Iterator[LogRecorder]:
    handler = LogRecorder()
    LOGGER.addHandler(handler)
    yield handler
    LOGGER.removeHandler(handler)


# Restoring on a trainer that does nothing -----------------------------------------------------------------------------


def resumed(folder: Path, checkpoint: Path | None = None) -> tuple[Suite, StandIn]:
    """A suite after the set-up of a resumed training."""
    suite, trainer = Suite(callbacks()), StandIn(folder, checkpoint)
    suite.handle("on_pretrain_routine_start", trainer)
    suite.handle("on_pretrain_routine_end", trainer)
    suite.handle("on_train_start", trainer)
    return suite, trainer


def reached(suite: Suite) -> list[Any]:
    best, second, stopping, plateau, overfit, cleanup, monitor, _, wandb = suite.callbacks
    return [
        list(best.best_k_models.values()), second.best_epoch, second.state_dict()["reference"],
        (stopping.best_epoch, stopping.wait_count),
        plateau.reductions, plateau.scale, overfit.wait_count, cleanup.freed, monitor.leak, wandb.run_id,
    ]  # fmt: skip


WHOLE = [[0.5, 0.4], 2, {"precision": 0.5}, (2, 1), [3], 0.5, 3,
         {"accelerator": 0.0, "host": 0.0, "collection": 0.0}, None, "y0k7ioov"]  # fmt: skip


def test_real_state_of_schema_1_is_understood(tmp_path, logged):
    suite, trainer = resumed(copy_of_real_state(tmp_path / "run"))
    assert reached(suite) == WHOLE
    assert (logged.warnings, logged.tracebacks) == ([], [])
    trainer.end_epoch(suite.handle, 0.3)
    assert trainer.lr["lr/pg0"] == pytest.approx(RATE / 2)
    assert [json.loads(line)["epoch"] for line in (tmp_path / "run" / "callbacks.jsonl").read_text().splitlines()] == [
        1, 2, 3, 4
    ]  # fmt: skip
    state = json.loads((tmp_path / "run" / "callbacks.json").read_text())
    journal = [json.loads(line) for line in (tmp_path / "run" / "callbacks.journal.jsonl").read_text().splitlines()]
    assert (state["schema"], [line.get("schema") for line in journal]) == (SCHEMA, [None] * 3 + [SCHEMA])
    assert json.loads((tmp_path / "run" / "weights" / "best-mAP50-epoch002.json").read_text()).get("schema") is None


def test_the_journal_alone_gives_the_same(tmp_path, logged):
    folder = copy_of_real_state(tmp_path / "run")
    (folder / "callbacks.json").write_text("null")
    suite, _ = resumed(folder)
    assert reached(suite) == WHOLE
    assert len(logged.warnings) == 1
    assert (folder / "callbacks.json.corrupt").read_text() == "null"


def test_the_state_of_one_callback_that_is_wrong_is_taken_from_the_journal(tmp_path, logged):
    folder = copy_of_real_state(tmp_path / "run")
    state = json.loads((folder / "callbacks.json").read_text())
    state["callbacks"]["ReduceLROnPlateau(val/box_loss)"]["cuts"] = None
    state["callbacks"]["EarlyStopping(mAP50-95)"]["wait"] = 10**9
    (folder / "callbacks.json").write_text(json.dumps(state))
    suite, _ = resumed(folder)
    assert reached(suite) == WHOLE
    (warning,) = logged.warnings
    assert all(name in warning for name in ("EarlyStopping", "ReduceLROnPlateau", "callbacks.json.corrupt"))
    assert json.loads((folder / "callbacks.json.corrupt").read_text()) == state


def test_a_journal_line_without_a_key_of_today(tmp_path, logged):
    folder = copy_of_real_state(tmp_path / "run")
    (folder / "callbacks.json").unlink()
    journal = folder / "callbacks.journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        for key in ("mosaic_closed", "warming_up", "epochs", "per_class", "best_confidence"):
            del line["record"][key]
        del line["published"], line["ended"]
    journal.write_text("".join(json.dumps({**line, "of a newer version": 1}) + "\n" for line in lines))
    suite, _ = resumed(folder)
    assert (reached(suite), logged.warnings) == (WHOLE, [])


def test_a_newer_schema_is_set_aside(tmp_path, logged):
    folder = copy_of_real_state(tmp_path / "run")
    state = json.loads((folder / "callbacks.json").read_text())
    (folder / "callbacks.json").write_text(json.dumps({**state, "schema": SCHEMA + 1}))
    sidecar = folder / "weights" / "best-recall.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "schema": SCHEMA + 1}))
    suite, _ = resumed(folder)
    assert reached(suite) == WHOLE  # from the journal; a checkpoint stays without its sidecar
    assert (folder / "callbacks.json.corrupt").exists()
    assert (folder / "weights" / "best-recall.json.corrupt").exists()
    assert [f"newer yolo_callbacks: this one reads up to {SCHEMA}" in warning for warning in logged.warnings] == [
        True
    ] * 2


@pytest.mark.parametrize(
    ("callback", "field", "value"),
    [
        ("EarlyStopping(mAP50-95)", "wait", 10**9),
        ("EarlyStopping(mAP50-95)", "wait", 3),  # more than there are epochs since the best
        ("EarlyStopping(mAP50-95)", "checked_epoch", 10**5),
        ("EarlyStopping(mAP50-95)", "best_score", INF),
        ("EarlyStopping(mAP50-95)", "stopped_epoch", 2),
        ("SaveBest(best-mAP50)", "kept", [[99, 0.9], [2, 0.5]]),
        ("SaveBest(best-mAP50)", "kept", [[2, INF]]),
        ("SaveBest(best-mAP50)", "kept", [[2, 0.5], [2, 0.5]]),
        ("SaveBest(best-mAP50)", "kept", [[1, 0.5], [2, 0.5], [3, 0.5]]),
        ("SaveBest(best-recall)", "reference", {"precision": "high"}),
        ("ReduceLROnPlateau(val/box_loss)", "cuts", [1] * 500),
        ("ReduceLROnPlateau(val/box_loss)", "cuts", [3, 2]),
        ("ReduceLROnPlateau(val/box_loss)", "cuts", [0]),
        ("ReduceLROnPlateau(val/box_loss)", "base_rates", [INF, 0.1, 0.1]),
        ("ReduceLROnPlateau(val/box_loss)", "base_rates", [-1.0, 0.1, 0.1]),
        ("ReduceLROnPlateau(val/box_loss)", "scale", INF),
        ("StopOnOverfit(val/loss)", "wait", 4),
        ("MemoryCleanup", "freed", {"host": None}),
        ("MemoryMonitor", "readings", {"train": 3}),
        ("WandbLogger", "logged_epoch", 10**5),
        ("WandbLogger", "folders", [None]),
    ],
)
def test_a_value_out_of_range_decides_nothing(tmp_path, logged, callback, field, value):
    folder = copy_of_real_state(tmp_path / "run")
    (folder / "callbacks.journal.jsonl").unlink()
    state = json.loads((folder / "callbacks.json").read_text())
    state["callbacks"][callback][field] = value
    (folder / "callbacks.json").write_text(json.dumps(state))
    suite, trainer = resumed(folder)
    fresh = next(one for one in suite.callbacks if one.state_key("detect") == callback)
    blank = next(one for one in callbacks() if one.state_key("detect") == callback)
    stand_in = StandIn(folder)
    blank.start_run(stand_in)
    blank.validate(TrainingRun.of(stand_in))
    ignored = {"mode"}
    assert {k: v for k, v in fresh.state_dict().items() if k not in ignored} == {
        k: v for k, v in blank.state_dict().items() if k not in ignored
    }
    assert sum(other != right for other, right in zip(reached(suite), WHOLE, strict=True)) <= 3
    (warning,) = logged.warnings
    assert callback in warning
    assert (folder / "callbacks.json.corrupt").exists()
    trainer.end_epoch(suite.handle, 0.3)
    assert not trainer.stop
    assert 0 < trainer.lr["lr/pg0"] <= RATE


def mutated_and_resumed(folder: Path, seed: int, logged: LogRecorder) -> None:
    logged.records.clear()
    random_ = random.Random(seed)
    copy_of_real_state(folder)
    path = folder / KINDS[seed % len(KINDS)]
    if random_.random() < 0.3:
        (folder / "callbacks.json").unlink()  # the journal decides
    if not path.exists():
        path = folder / KINDS[1]
    done = mutate(path, random_)
    content = path.read_bytes() if path.is_file() else None
    suite, trainer = resumed(folder)
    trainer.end_epoch(suite.handle, 0.3)
    where = f"seed {seed}, {path.name}: {done}"
    assert not logged.tracebacks, (where, logged.warnings)
    about = [warning for warning in logged.warnings if path.name in warning]
    assert len(about) <= 1, (where, about)
    for aside in re.findall(r"kept as (\S+corrupt)", " ".join(about)):
        kept = path.with_name(aside)
        assert kept.is_dir() if content is None else kept.read_bytes() == content, where
    best, second, stopping, plateau, *_ = suite.callbacks
    epochs = range(1, EPOCH + 2)
    assert {*best._kept.values, *second._kept.values, *plateau.reductions} <= set(epochs), where
    assert stopping.wait_count <= EPOCH + 1, where
    assert all(math.isfinite(rate) and 0 < rate <= RATE for rate in trainer.lr.values()), where
    written = json.loads((folder / "callbacks.json").read_text())
    assert (written["schema"], written["epoch"]) == (SCHEMA, EPOCH + 1), where
    for one in callbacks():  # what `suite.load_results` does
        state = read_state(folder / "callbacks.json")["callbacks"][one.state_key("detect")]
        one.load_state_dict({**state, "folder": str(folder)})


@pytest.mark.parametrize("first", range(0, 100, 50))
def test_no_mutation_of_real_state_gives_a_traceback(tmp_path, logged, first):
    for seed in range(first, first + 50):
        mutated_and_resumed(tmp_path / str(seed), seed, logged)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 2100, 250))
def test_no_mutation_of_2000_gives_a_traceback(tmp_path, logged, first):
    for seed in range(first, first + 250):
        mutated_and_resumed(tmp_path / str(seed), seed, logged)
        shutil.rmtree(tmp_path / str(seed))


@pytest.mark.parametrize("content", ["", "{}", '{"epoch": null}', '{"epoch": -3}', '{"epoch": 1e400}', "[" * 99_999])
def test_a_sidecar_that_cannot_be_read_costs_no_checkpoint(tmp_path, logged, content):
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_text("3")
    checkpoint.with_suffix(".json").write_text(content)
    assert holds_epoch(checkpoint, 3)
    assert len(logged.warnings) == 1
    assert (tmp_path / "best.json.corrupt").read_text() == content


def test_results_of_wrong_states_only_warn(tmp_path, logged):
    folder = copy_of_real_state(tmp_path / "run")
    state = json.loads((folder / "callbacks.json").read_text())
    for content in state["callbacks"].values():
        content.update({"checked_epoch": [], "run_id": 3, "freed": 1, "readings": 1})
    state |= {"summary": 3, "versions": None, "published": [], "files": 3}
    (folder / "callbacks.json").write_text(json.dumps(state))
    suite = Suite(callbacks())
    model = type("Model", (), {"save_dir": folder})()
    suite.model = lambda: model
    results = suite.load_results()
    assert (results["epoch"], results["summary"], results["published"]) == (EPOCH, None, {})
    assert [callback.best_epoch for callback in suite.callbacks[:4]] == [0] * 4
    assert not logged.tracebacks


# Real trainings -------------------------------------------------------------------------------------------------------


def decided() -> list[Any]:
    return [
        SaveBest("mAP50", top_k=2),
        EarlyStopping("mAP50", patience=9),
        ReduceLROnPlateau("val/box_loss", factor=0.5, patience=0),
    ]


@pytest.fixture
def trained_on(train, scripted, tmp_path, logged):
    """Resume a run after its state was changed; its results."""

    def run(*seeds: int) -> None:
        scripted([0.1, 0.5, 0.4, 0.3, 0.3])
        model = YOLO(TINY)
        attach(model, *decided())
        folder = interrupted(train, model, 3, epochs=4, name="run")
        before = shutil.copytree(folder, tmp_path / "before")
        for seed in seeds:
            shutil.rmtree(folder)
            shutil.copytree(before, folder)
            logged.records.clear()
            random_ = random.Random(seed)
            names = ("callbacks.json", "callbacks.journal.jsonl", "weights/best-mAP50-epoch002.json")
            done = mutate(folder / names[seed % 3], random_)
            scripted([0.45, 0.45])
            resumed_model = YOLO(folder / "weights" / "last.pt")
            attach(resumed_model, *decided())
            resumed_model.train(resume=True)
            assert results_csv(folder)[-1]["epoch"] == 4, (seed, done)
            assert not logged.tracebacks, (seed, done)
            summary = json.loads((folder / "callbacks.json").read_text())["summary"]
            assert summary["status"] == "finished", (seed, done)
            assert not any(row["failures"] for row in summary["callbacks"]), (seed, done)

    return run


@pytest.mark.training
def test_trainings_go_on_from_mutated_state(trained_on):
    trained_on(0, 1, 2)


@pytest.mark.training
@pytest.mark.slow
def test_50_trainings_go_on_from_mutated_state(trained_on):
    trained_on(*range(3, 53))
