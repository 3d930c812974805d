"""Files of any content: what cannot be read or shown is left out or replaced."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from run_content import KEYS, ROWS, STATE

from yolo_callbacks.cli.command import main
from yolo_callbacks.report import report
from yolo_callbacks.report.reading import read_run
from yolo_callbacks.report.timeline import draw_timeline

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
            if path[0] in ("summary", "epoch"):  # what `show` prints
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


SAMPLE = ("truncated", "deep", "not UTF-8", "laughs")


@pytest.mark.parametrize(
    "content", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.slow) for name in BROKEN]
)
def test_a_file_that_is_broken(content, run, capsys):
    for name in ("callbacks.json", *OTHERS):
        (run / name).write_bytes(BROKEN[content])
    with (run / "results.csv").open("ab") as file:
        file.write(b"4,\xff,nan,inf,1e308,-1e308,x\n1e9,1\n\x00\n" + b"5,1,1,1,1,1,1e400\n" + BROKEN[content][:100])
    page = report(run).read_text(encoding="utf-8")
    assert '<section id="quality">' in page
    draw_timeline(run)
    capsys.readouterr()  # the warnings of the report: where they go depends on who has imported Ultralytics
    code = main(["show", str(run)])
    said = capsys.readouterr()
    assert (code, said.err.count("\n"), said.out.count("\n")) in ((0, 0, 1), (2, 1, 0))


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
