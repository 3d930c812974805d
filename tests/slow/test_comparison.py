"""Every kind of difference between two trainings is found, and what is the same is not called different."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from do_no_harm.comparison import ASPECTS, MOST, Outcome, compare, is_of_this_package, lines_of_errors, runs, values
from do_no_harm.configurations import Configuration, configuration
from do_no_harm.table import render

pytestmark = pytest.mark.sample

TABLE = "epoch,time,train/loss,lr/pg0\n1,{0},0.5,0.01\n2,{0},nan,0.005\n"


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        torch.nn.init.ones_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)
        self.names, self.args = {0: "one"}, SimpleNamespace(lr0=0.1)


def training(folder: Path, **changes: Any) -> Outcome:
    """A training that has ended, with a run as Ultralytics leaves it."""
    weights = folder / "run" / "weights"
    weights.mkdir(parents=True)
    (folder / "run" / "results.csv").write_text(changes.get("table", TABLE).format(hash(folder)))
    arguments = {"lr0": 0.1, "save_dir": f"{folder}/run", **changes.get("arguments", {})}
    (folder / "run" / "args.yaml").write_text(yaml.safe_dump(arguments))
    (folder / "run" / "multitrain_results.json").write_text(json.dumps({"mean": changes.get("mean", 1)}))
    model = Model()
    model.args.save_dir = str(folder)
    content = {
        "epoch": 1,
        "date": str(hash(folder)),
        "ema": model,
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 0.1}]},
        "train_args": {"project": str(folder), "lr0": 0.1},
        "train_results": {"epoch": [1, 2], "time": [hash(folder), 1.0], "loss": [0.5, float("nan")]},
    }
    changes.get("content", lambda content: None)(content)
    for name in ("last.pt", "best.pt"):
        torch.save(content, weights / name)
    events = changes.get("events", [("on_train_start", {"epoch": None}), ("on_train_end", {"epoch": 1})])
    aftermath = changes.get("aftermath", {"ema": "ModelEMA", "fitness": float("nan"), "path": f"{folder}/best.pt"})
    errors = [f"WARNING {folder}/data is odd", *changes.get("errors", [])]
    return Outcome(folder, changes.get("exit", "finished"), errors, events, aftermath)


@pytest.fixture
def plain(tmp_path):
    return training(tmp_path / "plain")


def test_the_same_is_the_same(plain, tmp_path):
    assert compare(plain, training(tmp_path / "other")) == []
    assert list(runs(plain)) == ["run"]


def set_item(*path: Any, to: Any) -> Any:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = to

    return change


def change_weight(content: Any) -> None:
    with torch.no_grad():
        content["ema"].layer.weight[0, 1] += 1e-7


def change_names(content: Any) -> None:
    content["ema"].names = {0: "two"}


def change_model_arguments(content: Any) -> None:
    content["ema"].args.lr0 = 0.2


@pytest.mark.parametrize(
    ("changes", "aspect", "words"),
    [
        ({"exit": "RuntimeError: a"}, "exit", "'finished' and 'RuntimeError: a'"),
        ({"table": TABLE.rsplit("2,", 1)[0]}, "epochs", "2 and 1 items"),
        ({"table": ""}, "columns", "3 and 0 items"),
        ({"table": TABLE.replace("train/loss", "train/box_loss")}, "columns", "'train/loss' and 'train/box_loss'"),
        ({"table": TABLE.replace("0.005", "0.0050001")}, "rates", "run epoch 2.lr/pg0"),
        ({"table": TABLE.replace("nan", "0.4")}, "numbers", "run epoch 2.train/loss: 'nan' and '0.4'"),
        ({"table": TABLE.replace("0.01\n", "0.01,7\n")}, "numbers", "run epoch 1.column 3: additional"),
        ({"content": change_weight}, "checkpoints", "last.pt.ema.weights.layer.weight: 1 of 2 elements differ"),
        ({"content": change_names}, "checkpoints", "last.pt.ema.names.0: 'one' and 'two'"),
        ({"content": change_model_arguments}, "checkpoints", "last.pt.ema.args.lr0: 0.1 and 0.2"),
        ({"content": set_item("epoch", to=-1)}, "checkpoints", "last.pt.epoch: 1 and -1"),
        ({"content": set_item("epoch", to=1.0)}, "checkpoints", "last.pt.epoch: 1 and 1.0"),
        ({"content": set_item("more", to=1)}, "checkpoints", "last.pt.more: additional, 1"),
        ({"content": lambda content: content.pop("epoch")}, "checkpoints", "last.pt.epoch: missing"),
        ({"content": set_item("optimizer", to=None)}, "checkpoints", "and NoneType None"),
        ({"content": set_item("optimizer", "param_groups", 0, "lr", to=0.2)}, "checkpoints", "param_groups[0].lr"),
        ({"content": set_item("optimizer", "state", 0, "step", to=torch.tensor(3.0))}, "checkpoints", "state.0.step"),
        ({"content": set_item("train_args", "lr0", to=0.2)}, "checkpoints", "train_args.lr0"),
        ({"content": set_item("train_results", "loss", 0, to=0.6)}, "checkpoints", "train_results.loss[0]"),
        ({"arguments": {"lr0": 0.2}}, "arguments", "run/args.yaml.lr0: 0.1 and 0.2"),
        ({"arguments": {"more": 1}}, "arguments", "run/args.yaml.more: additional, 1"),
        ({"mean": 2}, "files", "run/multitrain_results.json.mean: 1 and 2"),
        ({"events": [("on_train_start", {"epoch": None})]}, "events", "2 and 1 events"),
        ({"events": [("on_train_start", {"epoch": 3})] * 2}, "events", "event 0, on_train_start"),
        ({"aftermath": {"ema": "NoneType", "fitness": 1.0, "path": ""}}, "aftermath", "'ModelEMA' and 'NoneType'"),
        ({"errors": ["ERROR the picture"]}, "errors", "ERROR the picture"),
    ],
)
def test_a_difference_is_found(plain, tmp_path, changes, aspect, words):
    found = compare(plain, training(tmp_path / "other", **changes), [aspect])
    assert [line for line in found if words in line]
    assert all(line.startswith(f"{aspect}: ") for line in found)


def test_files_of_this_package_are_not_compared(plain, tmp_path):
    other = training(tmp_path / "other")
    run = other.folder / "run"
    ours = ("callbacks.json", "callbacks.journal.jsonl", "report.html", "weights/best-mAP50-95-epoch001.pt")
    for name in (*ours, "weights/best-mAP50-95.json", "wandb/offline-run-1/run-1.wandb", "events.out.tfevents.1.host"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("")
        assert is_of_this_package(name)
        assert is_of_this_package(f"run/{name}")
    assert compare(plain, other) == []
    (run / "weights" / "epoch1.pt").write_bytes(b"")
    (run / "weights" / ".last.pt.tmp").write_bytes(b"")
    (run / "weights" / "best.pt").unlink()
    assert compare(plain, other, ["files"]) == [
        "files: run/weights/best.pt: missing",
        "files: run/weights/.last.pt.tmp: additional",
        "files: run/weights/epoch1.pt: additional",
    ]


def test_a_run_that_is_missing_or_additional(plain, tmp_path):
    other = training(tmp_path / "other")
    (other.folder / "run").rename(other.folder / "run2")
    found = compare(plain, other, ["epochs"])
    assert found == ["epochs: .run: missing", "epochs: .run2: additional, list ['1', '2']"]


def test_rates_and_columns_of_trainings_of_different_length(plain, tmp_path):
    other = training(tmp_path / "other", table=TABLE.rsplit("2,", 1)[0])
    assert compare(plain, other, ["columns", "rates"]) == []
    assert compare(plain, other)


def test_values():
    assert list(values(torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), "x")) == []
    assert list(values(torch.ones(2), torch.ones(2, dtype=torch.half), "x")) == [
        "x: (2,) torch.float32 and (2,) torch.float16"
    ]
    assert list(values(torch.ones(2), torch.ones(3), "x"))
    assert list(values([1, 2], [2, 1], "x")) == ["x[0]: 1 and 2", "x[1]: 2 and 1"]
    assert list(values((1,), [1], "x"))
    one = {"a": [1, {"b": torch.zeros(3)}]}
    assert list(values(one, copy.deepcopy(one), "x")) == []


def test_many_differences_of_one_kind_are_shortened(plain, tmp_path):
    other = training(tmp_path / "other", aftermath={str(number): number for number in range(20)})
    found = compare(plain, other)
    assert (len(found), found[-1]) == (MOST + 1, f"aftermath: {23 - MOST} more")


def test_errors_known_without_a_suite_are_none(plain, tmp_path):
    assert plain.errors
    assert compare(plain, training(tmp_path / "other"), ["errors"]) == []
    found = compare(Outcome(tmp_path), Outcome(tmp_path, errors=["ERROR it failed\nTraceback"]))
    assert found == ["errors: ERROR it failed\nTraceback"]


def test_lines_of_errors_on_a_console():
    text = (
        "Epoch 1\n\x1b[34m\x1b[1mWARNING \x1b[0m⚠️ odd\n  Traceback (most recent call last):\nwandb: ERROR no\n"
        "no ERROR\rERROR ❌ bad\nWARNING ⚠️ NMS time limit 2.0s exceeded\nException ignored in: <x>\n"
    )
    assert [line.split()[0] for line in lines_of_errors(text)] == [
        "WARNING",
        "Traceback",
        "wandb:",
        "ERROR",
        "Exception",
    ]


def test_a_configuration_takes_arguments_and_says_why_it_compares_less():
    made = configuration("one", model="obb", epochs=2, lr0=0.1)
    assert (made.model, made.arguments, made.aspects) == ("obb", {"epochs": 2, "lr0": 0.1}, ASPECTS)
    with pytest.raises(ValueError, match="say why"):
        configuration("two", aspects=("exit",))


def test_a_configuration_that_asks_for_warnings_allows_no_errors():
    warning = "WARNING of ultralytics.yolo_callbacks: off"
    assert Configuration("one", warns=True).allows(warning)
    assert not Configuration("one").allows(warning)
    assert not Configuration("one", warns=True).allows("ERROR of ultralytics.yolo_callbacks: failed")


def test_the_table():
    rows = [
        {"name": "b", "none": 1.0, "default": 2.0, "all": 3.0, "default differs": [], "all differs": ["exit", "files"]},
        {"name": "a", "none": 1.5, "default": 2.0, "default differs": []},
    ]
    assert [" ".join(line.split()) for line in render(rows).splitlines()] == [
        "configuration plain default all differences",
        "a 1.5s 2.0s - none",
        "b 1.0s 2.0s 3.0s all: exit, files",
        "2 in all 2.5s 4.0s 3.0s 1 differ",
    ]
