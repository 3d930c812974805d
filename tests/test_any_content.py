"""Files of any content, and consoles of any encoding: what cannot be read or shown is left out or replaced."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, attach
from yolo_callbacks.cli.command import main
from yolo_callbacks.report import report
from yolo_callbacks.report.reading import read_run
from yolo_callbacks.report.timeline import draw_timeline
from yolo_callbacks.state.summary import read_summary, render
from yolo_callbacks.utils.console import EncodableFilter, printable
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.lenient import any_json, any_yaml, as_count, as_mapping, as_number, as_text, epoch_of

KEYS = "epoch,time,train/box_loss,metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss,lr/pg0"
ROWS = "".join(f"{epoch},{epoch},{1 / epoch},0.{epoch},0.0{epoch},{2 / epoch},0.01\n" for epoch in range(1, 4))
SUMMARY: dict[str, Any] = {
    "status": "finished",
    "epochs": 3,
    "stopped_by": "",
    "seconds": 10.0,
    "seconds_in_callbacks": 1.0,
    "folder": "runs/train",
    "callbacks": [{"name": "SaveBest", "outcome": "ok", "seconds": 0.1, "failures": 0, "switched_off": False}],
}
STATE: dict[str, Any] = {
    "versions": {"ultralytics": "8.4.190"},
    "callbacks": {
        "SaveBest(mAP50)": {"monitor": "mAP50", "mode": "max", "kept": [[3, 0.3], [2, 0.2]]},
        "ReduceLROnPlateau(mAP50)": {"monitor": "mAP50", "mode": "max", "cuts": [2]},
        "EarlyStopping(fitness)": {"monitor": "fitness", "stopped_epoch": 3, "stopping_message": "enough"},
    },
    "summary": SUMMARY,
}
JUNK: list[Any] = [
    None,
    True,
    -1,
    1e308,
    10**400,
    "x",
    "\ud800",
    "\N{CJK UNIFIED IDEOGRAPH-4E2D}",
    [],
    [[None]],
    [1, 2, 3],
    {"": {}},
]


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value where another value may stand."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in paths_of(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copy = json.loads(json.dumps(value))
    if not path:
        return new
    part = copy
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = new
    return copy


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "weights").mkdir(parents=True)
    (folder / "results.csv").write_text(f"{KEYS}\n{ROWS}")
    return folder


def test_any_value_at_any_place_of_the_state(run, messages, capsys):
    """The report is read, and the table printed, whatever stands there."""
    places = [path for path in paths_of(STATE) if path]
    assert len(places) > 30
    for path in places:
        for new in JUNK:
            (run / "callbacks.json").write_text(json.dumps(replaced(STATE, path, new)))
            found = read_run(run, pictures=False)
            others = [name for name in STATE["callbacks"] if path[:2] != ("callbacks", name) and path != ("callbacks",)]
            assert {event.who for event in found.events} >= {
                name for name in others if "Early" in name or "Save" in name
            }
            assert found.version == "8.4.190" or path[0] == "versions"
            assert main(["show", str(run)]) == 0
    assert messages == []
    assert "Callbacks: finished after 3 epochs in 10.0 s" in capsys.readouterr().out


ARGUMENTS = {"task": "detect", "model": "m.pt", "epochs": 9}
OTHERS: dict[str, Any] = {
    "callbacks.images.json": {
        "names": {"0": "cat"},
        "images": [
            {"path": "a.jpg", "size": [4, 4], "truth": [[0, 0, 1, 1, 0, None]], "predictions": [[0, 0, 1, 1, 0, 0.5]]}
        ],
    },
    "weights/best-mAP50.json": {"epoch": 3, "per_class": {"mAP50-95(B)": {"cat": 0.5}}},
    "args.yaml": ARGUMENTS,
    "callbacks.jsonl": {"epoch": 2, "per_class/cat/mAP50-95": 0.5, "memory/train/host": 1.0},
}


@pytest.mark.parametrize("name", OTHERS)
def test_any_value_at_any_place_of_the_other_files(name, run, messages):
    for path in paths_of(OTHERS[name]):
        for new in JUNK:
            (run / name).write_text(json.dumps(replaced(OTHERS[name], path, new)))
            found = read_run(run)
            assert found.epochs[:3] == [1, 2, 3]
    assert not [message for message in messages if "Traceback" in message]


BROKEN = {
    "truncated": b'{"epoch": 3, "call',
    "deep": b"[" * 100_000,
    "deep YAML": b"a: " + b"{a: " * 2000,
    "not UTF-8": b'{"epoch": 3, "\xff\xfe": "\xff"}',
    "binary": bytes(range(256)),
    "laughs": b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 40)),
    "a list": b"[1, 2]",
    "digits": b'{"epoch": ' + b"9" * 5000 + b"}",
    "empty": b"",
}


@pytest.mark.parametrize("content", BROKEN)
def test_a_file_that_is_broken(content, run, capsys):
    for name in ("callbacks.json", *OTHERS):
        (run / name).write_bytes(BROKEN[content])
    with (run / "results.csv").open("ab") as file:
        file.write(b"4,\xff,nan,inf,1e308,-1e308,x\n1e9,1\n\x00\n" + b"5,1,1,1,1,1,1e400\n" + BROKEN[content][:100])
    page = report(run).read_text(encoding="utf-8")
    assert '<section id="quality">' in page
    draw_timeline(run)
    code = main(["show", str(run)])
    said = capsys.readouterr()
    assert (code, said.err.count("\n"), said.out.count("\n")) in ((0, 0, 1), (2, 1, 0))


def test_lenient_values():
    assert [as_number(value) for value in (1, 1.5, True, "1", None, 10**400)] == [1.0, 1.5, None, None, None, None]
    assert [as_count(value) for value in (3, 3.0, 3.5, -1, float("nan"), "3")] == [3, 3, 0, 0, 0, 0]
    assert [epoch_of(value) for value in (1, 0, 10**9, None)] == [1, None, None, None]
    assert [as_text(value) for value in ("a", 1, None, [], "\ud800", 10**5000)] == ["a", "1", "", "", "?", ""]
    assert as_mapping([1]) == {}


def test_lenient_files(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b'\xef\xbb\xbf{"a": "\xff"}')
    assert any_json(file) == {"a": "\N{REPLACEMENT CHARACTER}"}
    assert any_yaml(file) == {"a": "\N{REPLACEMENT CHARACTER}"}
    file.write_bytes(b"[" * 10_000)
    for read in (any_json, any_yaml):
        with pytest.raises(ValueError, match="too deep"):
            read(file)


def test_a_summary_of_nothing():
    assert read_summary(None) is None
    table = render(read_summary({"callbacks": [3, {"name": ["a"]}, {"outcome": "said"}], "seconds": float("nan")}))
    assert table.splitlines()[0] == "Callbacks: ended after 0 epochs in 0.0 s"
    assert "said" in table


# Names that are not UTF-8 ---------------------------------------------------------------------------------------------


def test_an_image_whose_name_is_not_utf_8(run):
    image = run.parent / os.fsdecode(b"photo-\xff.jpg")
    image.write_bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    kept = {"path": str(image), "size": [8, 8], "truth": [[0, 0, 0.5, 0.5, 0, None]], "predictions": []}
    (run / "callbacks.images.json").write_text(json.dumps({"names": {"0": "cat"}, "images": [kept]}))
    page = report(run).read_text(encoding="utf-8")
    assert "photo-?.jpg" in page
    assert page.count("<rect") >= 1


def test_a_folder_whose_name_is_not_utf_8(run, capsys):
    folder = run.rename(run.with_name(os.fsdecode(b"run-\xff")))
    (folder / "callbacks.json").write_text(json.dumps(STATE))
    assert main(["report", str(folder)]) == 0
    assert "run-?" in (folder / "report.html").read_text(encoding="utf-8")
    assert draw_timeline(folder).is_file()
    assert main(["show", str(folder)]) == 0
    assert main(["report", str(folder / "none")]) == 2
    assert "\\udcff" in capsys.readouterr().err


@pytest.mark.training
def test_a_training_on_images_whose_names_are_not_utf_8(train, scenes, tmp_path, messages):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(scenes.parent, data)
    for kind, ending in (("images", "*.[jp][pn]g"), ("labels", "*.txt")):
        for number, path in enumerate(sorted((data / kind / "val").glob(ending))):
            path.rename(path.with_name(os.fsdecode(b"photo-\xff") + f"{number}{path.suffix}"))
    for cache in data.rglob("*.cache"):
        cache.unlink()
    model = YOLO(TINY)
    attach(model, report=True)
    folder = train(model, epochs=1, data=str(data / "data.yaml"))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "photo-?0" in page
    assert not [message for message in messages if "Traceback" in message or "report" in message.split(":")[0]]


# Consoles -------------------------------------------------------------------------------------------------------------

CHINESE = "\N{CJK UNIFIED IDEOGRAPH-732B}"
CONSOLES = [
    pytest.param({"PYTHONIOENCODING": "ascii"}, marks=pytest.mark.slow),
    {"PYTHONIOENCODING": "cp1252"},
    pytest.param({"LC_ALL": "C"}, marks=pytest.mark.slow),
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
]


# All commands in one process: to import what they need takes seconds.
SCRIPT = """
import json, os, sys
from yolo_callbacks.cli.command import main
for command in json.loads(sys.argv[1]):
    try:
        code = main([os.fsdecode(part.encode()) for part in command])
    except SystemExit as end:
        code = end.code
    for stream in (sys.stdout, sys.stderr):
        print(f"<{code}>", file=stream, flush=True)
"""


@pytest.mark.parametrize("console", CONSOLES, ids=str)
def test_every_command_on_every_console(console, run):
    callbacks = [{**SUMMARY["callbacks"][0], "outcome": f"mAP50/{CHINESE} 0.5"}]
    state = {**STATE, "summary": {**SUMMARY, "callbacks": callbacks}}
    (run / "callbacks.json").write_text(json.dumps(state))
    (run / "wrong.yaml").write_text(f"callbacks: [{CHINESE}]\n", encoding="utf-8")
    (run / "own.py").write_text(
        f'from yolo_callbacks import Callback\nclass Own(Callback):\n    """{CHINESE}."""\n', encoding="utf-8"
    )
    (run / f"{CHINESE}.yaml").write_text("callbacks: [SaveBest]\n")
    commands = [
        ["show", "."],
        ["report", ".", "-o", f"{CHINESE}.html"],
        ["check", f"{CHINESE}.yaml"],
        ["check", "wrong.yaml"],
        ["init", f"new-{CHINESE}.yaml"],
        ["list", "own:Own"],
        ["train", "--help"],
        ["demo", "--help"],
    ]
    variables = {name: value for name, value in os.environ.items() if name not in ("LANG", "LC_ALL", "LC_CTYPE")}
    variables |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **console}
    script = [sys.executable, "-c", SCRIPT, json.dumps(commands)]
    done = subprocess.run(script, cwd=run, env=variables, capture_output=True, check=False)
    out, err = done.stdout.decode("latin-1"), done.stderr.decode("latin-1")
    codes = ["<0>", "<0>", "<0>", "<2>", "<0>", "<0>", "<0>", "<0>"]
    assert [line for line in err.splitlines() if line in ("<0>", "<2>")] == codes, err
    assert len(err.splitlines()) == len(codes) + 1  # one mistake
    assert "codec" not in out + err
    assert all(part.strip() for part in re.split("<0>|<2>", out)[:3])


def test_printable():
    ascii_stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert printable(f"a {CHINESE} \udcff", ascii_stream) == "a \\u732b \\udcff"
    assert printable(f"a {CHINESE}", io.StringIO()) == f"a {CHINESE}"
    assert printable("\udcff", io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) == "\\udcff"
    assert printable("\udcff", io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")) == "\udcff"


def test_the_logger_replaces_what_the_console_cannot_show(monkeypatch):
    assert any(isinstance(each, EncodableFilter) for each in LOGGER.filters)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    handler = logging.StreamHandler(stream)
    LOGGER.addHandler(handler)
    try:
        LOGGER.warning("saved %s", CHINESE)
        try:
            raise ValueError(f"\udcff {CHINESE}")
        except ValueError as error:
            LOGGER.error("failed", exc_info=error)
    finally:
        LOGGER.removeHandler(handler)
    stream.flush()
    said = stream.buffer.getvalue().decode("cp1252")
    assert said.startswith("saved \\u732b\nfailed\nTraceback")
    assert "ValueError: \\udcff \\u732b" in said


class Talkative(Callback):
    """Has an outcome that many consoles cannot show."""

    def outcome(self) -> str:
        return f"{CHINESE} \udcff"


def test_the_table_of_a_training_on_a_console_that_is_not_utf_8(train, scripted, monkeypatch, capfd):
    scripted([0.1, 0.2, 0.2])
    model = YOLO(TINY)
    attach(model, Talkative())
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    handler = logging.StreamHandler(stream)
    LOGGER.addHandler(handler)
    try:
        train(model, epochs=1)
    finally:
        LOGGER.removeHandler(handler)
    stream.flush()
    assert "\\u732b \\udcff" in stream.buffer.getvalue().decode("ascii")
    assert "Logging error" not in capfd.readouterr().err
