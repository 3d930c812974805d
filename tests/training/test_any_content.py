"""File names and consoles of any encoding, in trainings and commands."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from run_content import KEYS, ROWS, STATE, SUMMARY
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, attach
from yolo_callbacks.trainer.installation import installed_version
from yolo_callbacks.utils.files import LOGGER


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "weights").mkdir(parents=True)
    (folder / "results.csv").write_text(f"{KEYS}\n{ROWS}")
    return folder


@pytest.mark.training
@pytest.mark.skipif(installed_version() <= (8, 4, 140), reason="Ultralytics cannot hash the names of these files")
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
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C"},
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


@pytest.mark.slow
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
