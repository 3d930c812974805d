"""Arguments `name=value` that are nearly right: the message has the right form."""

from __future__ import annotations

import pytest

from yolo_callbacks.cli.near_misses import refuse_near_misses
from yolo_callbacks.cli.parser import CommandError
from yolo_callbacks.cli.yolo_command import yolo_arguments

TRAIN = {"callbacks": "callbacks.yaml"}
EXTEND = {"epochs": "150", "lr": "hold", "callbacks": "callbacks.yaml"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("callback=c.yaml", "callbacks=c.yaml"),
        ("calbacks=c.yaml", "callbacks=c.yaml"),
        ("Callbacks=c.yaml", "callbacks=c.yaml"),
        ("callbacks:c.yaml", "callbacks=c.yaml"),
        ("callbacks c.yaml", "callbacks=c.yaml"),
        ("callbacks = c.yaml", "callbacks=c.yaml"),
        ("callbacks =c.yaml", "callbacks=c.yaml"),
        ("callbacks= c.yaml", "callbacks=c.yaml"),
        ("-callbacks c.yaml", "callbacks=c.yaml"),
        ("--callbacks c.yaml", "callbacks=c.yaml"),
        ("--callbacks=SaveBest,JsonlLogger", "callbacks=SaveBest,JsonlLogger"),
        ("YOLO_CALLBACKS=c.yaml", "callbacks=c.yaml"),
        ("callbacks", "callbacks=callbacks.yaml"),
        ("callbacks=", "callbacks=callbacks.yaml"),
        ("--callbacks model=x.pt", "callbacks=callbacks.yaml"),
        ("--callbacks --device=0", "callbacks=callbacks.yaml"),
    ],
)
def test_callbacks_in_another_form(given, meant):
    with pytest.raises(CommandError) as raised:
        refuse_near_misses("train", ["model=x.pt", *given.split()], TRAIN, yolo_arguments())
    assert str(raised.value) == f"train: argument {given.split()[0]!r}: did you mean {meant}?"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("epoch=3", "epochs=3"), ("--epochs 3", "epochs=3"), ("epochs 3", "epochs=3"), ("LR=x", "lr=x")],
)
def test_the_arguments_of_extend(given, meant):
    with pytest.raises(CommandError, match=f"did you mean {meant}"):
        refuse_near_misses("extend", given.split(), EXTEND, yolo_arguments())


def test_a_file_without_a_name():
    with pytest.raises(CommandError, match=r"'c\.yml' has no name: write callbacks=c\.yml or data=c\.yml"):
        refuse_near_misses("train", ["c.yml"], TRAIN)


def test_what_is_right_and_what_only_ultralytics_knows():
    known = yolo_arguments()
    assert {"model", "data", "epochs", "cache", "lr0"} <= set(known)
    right = [
        "callbacks=a:B",
        "callbacks=c.yaml",
        "segment",
        "data=c.yaml",
        "plots",
        "--cache=True",
        "epochz=3",
        "x",
        "lr=1",
    ]
    refuse_near_misses("train", [*right, *(f"{name}=1" for name in known)], TRAIN, known)
    refuse_near_misses("extend", ["epochs=3", "lr=stretch", *(f"{n}=1" for n in known)], EXTEND, known)
