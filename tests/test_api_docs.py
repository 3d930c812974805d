"""The page on the public names against the package, in both directions."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from trainings import TINY
from ultralytics import YOLO

import yolo_callbacks
from yolo_callbacks import (
    Callback,
    EarlyStopping,
    EpochRecord,
    Event,
    LambdaCallback,
    Monitor,
    MonitorCallback,
    ReduceLROnPlateau,
    SaveBest,
    StopOnOverfit,
    TrainingRun,
    attach,
)
from yolo_callbacks.callbacks import events

OUTSIDE = ("on_predict", "on_export")
PAGE = Path(__file__).parent.parent / "docs" / "api.md"


class Member(NamedTuple):
    """A name in the first column of a table, its parameters if it is a function, and its class if it names one."""

    name: str
    parameters: list[str] | None
    owner: str = ""


def section(heading: str) -> str:
    _, found, after = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert found, heading
    return after.partition("\n## ")[0]


def members(heading: str, column: int = 1) -> list[Member]:
    cells = [line.split("|")[column] for line in section(heading).splitlines() if line.startswith("| `")]
    found = re.findall(r"`(?:(\w+)\.)?(\w+)(?:\((.*?)\))?`", "\n".join(cells))
    called = re.findall(r"`[\w.]+(\()?.*?`", "\n".join(cells))
    return [
        Member(name, re.findall(r"\w+", arguments) if call else None, owner)
        for (owner, name, arguments), call in zip(found, called, strict=True)
    ]


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def read(owner: Any, member: Member, values: dict[str, Any]) -> Any:
    """The value of an attribute, or what a method returns that is called with the values of its parameters."""
    found = getattr(owner, member.name)
    return found if member.parameters is None else found(*(values[name] for name in member.parameters))


def test_the_page_lists_what_the_package_exports():
    assert sorted(member.name for member in members("All names")) == sorted(yolo_callbacks.__all__)


def test_every_export_is_imported_by_its_documented_name():
    assert [name for name in yolo_callbacks.__all__ if not hasattr(yolo_callbacks, name)] == []


@pytest.mark.parametrize("heading", ["Callback", "MonitorCallback", "TrainingRun", "EpochRecord", "Suite", "Monitor"])
def test_the_methods_of_a_class_have_the_documented_parameters(heading):
    documented = {member.name: member.parameters for member in members(heading) if member.parameters is not None}
    owner = getattr(yolo_callbacks, heading)
    assert documented == {name: parameters(getattr(owner, name)) for name in documented}


@pytest.mark.training
def test_the_attributes_of_a_class_exist_in_a_training(train):
    """Read while training, since some of them belong to a run."""
    seen: list[tuple[TrainingRun, EpochRecord, dict[str, bool]]] = []

    def look(run: TrainingRun, record: EpochRecord) -> None:
        seen.append((run, record, {member.name: hasattr(run, member.name) for member in members("TrainingRun")}))

    stopping = EarlyStopping()
    model = YOLO(TINY)
    suite = attach(model, stopping, LambdaCallback(on_epoch=look))
    train(model, epochs=1)
    (_, record, of_run), *others = seen
    assert others == []
    assert [name for name, there in of_run.items() if not there] == []
    owners = {"EpochRecord": record, "Suite": suite, "Callback": stopping, "MonitorCallback": stopping}
    for heading, owner in {**owners, "Monitor": stopping.monitor}.items():
        assert [member.name for member in members(heading) if not hasattr(owner, member.name)] == [], heading


def test_the_fields_of_a_record_are_described_in_the_docstring_that_the_page_shows():
    assert "::: yolo_callbacks.EpochRecord" in section("EpochRecord")
    described = re.findall(r"^ {4}(\w+): ", inspect.getdoc(EpochRecord) or "", re.MULTILINE)
    assert sorted(described) == sorted(EpochRecord.__dataclass_fields__)


@pytest.mark.parametrize("decider", [SaveBest, EarlyStopping, ReduceLROnPlateau, StopOnOverfit, MonitorCallback])
def test_the_help_of_a_decider_lists_monitors_that_can_be_made(decider):
    listed = (inspect.getdoc(decider) or "").partition("Monitors:\n")[2].partition("\n\n")[0]
    forms = [form for form in re.findall(r"`([^`]+)`", listed) if form[0] in '"{' or form == "None"]
    assert len(forms) >= 4
    page = (PAGE.parent / "monitors.md").read_text(encoding="utf-8")
    for form in forms:
        name = Monitor(ast.literal_eval(form)).name("detect")
        assert all(part.strip('"') in page for part in re.findall(r'"[^"]+"', form)), f"{form} ({name})"


def test_the_loop_on_its_page_names_every_event_of_a_training():
    page, described = (PAGE.parent / "loop.md").read_text(encoding="utf-8"), events.__doc__ or ""
    assert "::: yolo_callbacks.callbacks.events" in page
    assert [str(event) for event in Event if not str(event).startswith(OUTSIDE) and str(event) not in described] == []


OLD_METHODS = [
    pair for pair in zip(members("Old names"), members("Old names", column=2), strict=True) if not pair[0].owner
]


@pytest.mark.parametrize(("old", "new"), OLD_METHODS)
def test_a_method_under_its_old_name_is_called_and_warns(old, new):
    with pytest.warns(DeprecationWarning, match=f"Mine.{old.name} is called {new.name} now"):
        mine = type("Mine", (Callback,), {old.name: lambda self, argument: "mine"})
    assert old.parameters == new.parameters == parameters(getattr(Callback, new.name))
    assert getattr(mine(), new.name)(None) == "mine"


@pytest.mark.training
def test_an_old_name_means_the_new_one_and_warns(train):
    records: list[EpochRecord] = []
    deciders = [EarlyStopping(), ReduceLROnPlateau(), StopOnOverfit("val/loss", "train/loss", ratio=9.0, patience=9)]
    model = YOLO(TINY)
    suite = attach(model, *deciders, LambdaCallback(on_epoch=lambda run, record: records.append(record)))
    train(model, epochs=1)
    objects = {type(each).__name__: each for each in [*deciders, *records, suite]}
    objects |= {"Callback": deciders[0], "TrainingRun": TrainingRun}
    values = {"trainer": model.trainer, "key": "old/name", "value": 1.0}
    pairs = zip(members("Old names"), members("Old names", column=2), strict=True)
    for old, new in [pair for pair in pairs if pair[0].owner]:
        with pytest.warns(DeprecationWarning, match=f"{old.name}.* is called .*{new.name}.* now"):
            found = read(objects[old.owner], old, values)
        if old.name == "publish":
            assert records[0].scalars["old/name"] == 1.0
            continue
        assert found == read(objects[new.owner], new, values)
