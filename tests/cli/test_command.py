"""The command `yolo-callbacks`: what it prints and writes, and one line and exit code 2 for a user's mistake."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest

from yolo_callbacks import JsonlLogger
from yolo_callbacks.cli import demo
from yolo_callbacks.cli.command import COMMANDS, main
from yolo_callbacks.config import registry
from yolo_callbacks.config.loading import load


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with contextlib.suppress(SystemExit):  # argparse's own way
        main([*command, "--help"])
    return capsys.readouterr().out


def test_help_names_every_command_with_examples(capsys):
    text = help_of(capsys)
    assert all(
        re.search(rf"^  {name} +{re.escape(command.summary)}$", text, re.M) for name, command in COMMANDS.items()
    )
    for name in COMMANDS:
        assert f"examples:\n  yolo-callbacks {name}" in help_of(capsys, name)


def test_init_check_and_list_agree(capsys, folder):
    assert main(["init"]) == 0
    assert main(["check", "callbacks.yaml"]) == 0
    names = [type(callback).__name__ for callback in load("callbacks.yaml").callbacks]
    assert capsys.readouterr().out.splitlines()[1] == f"callbacks.yaml is valid: {', '.join(names)}"
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    for name, callback in registry.own().items():
        assert f"{name}: {registry.summary(callback)}\n" in listed
    assert re.search(
        r"^  patience=None +Checks in a row without improvement after which to stop; 0 means", listed, re.M
    )
    assert main(["list", "JsonlLogger"]) == 0
    assert capsys.readouterr().out == f"JsonlLogger: {registry.summary(JsonlLogger)}\n\n"


def test_init_replaces_a_file_only_with_force(capsys, folder):
    file = folder / "mine.yaml"
    file.write_text("mine")
    assert main(["init", "mine.yaml"]) == 2
    assert file.read_text() == "mine"
    assert capsys.readouterr().err == "mine.yaml exists: --force replaces it\n"
    assert main(["init", "mine.yaml", "--force"]) == 0
    assert load("mine.yaml").callbacks


def test_show_of_a_run_that_is_not_at_its_end(capsys, folder):
    (folder / "callbacks.json").write_text(json.dumps({"epoch": 3, "summary": None}))
    assert main(["show", "."]) == 0
    assert capsys.readouterr().out == "Callbacks: the run has not ended; callbacks.json has the state after epoch 3\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([], "yolo-callbacks: the following arguments are required: command"),
        (["lst"], "no command is called 'lst', did you mean 'list'? (there are train, extend, init,"),
        (["init", "a", "b"], "yolo-callbacks init: unrecognized arguments: b (see yolo-callbacks init --help)"),
        (["init", "no/such/file.yaml"], "no/such/file.yaml cannot be written: No such file or directory"),
        (["check"], "yolo-callbacks check: the following arguments are required: file"),
        (["check", "none.yaml"], "none.yaml: No such file or directory"),
        (["check", "wrong.yaml"], "wrong.yaml:2: no callback is called 'SaveBst', did you mean 'SaveBest'?"),
        (["list", "Early"], "no callback is called 'Early', did you mean 'EarlyStopping'?"),
        (["show", "."], ". has no callbacks.json: no callbacks ran there"),
        (["show", "wrong.yaml"], "wrong.yaml cannot be read: JSONDecodeError: Expecting value"),
        (["show", "list.json"], "list.json cannot be read: expected a mapping, found list"),
        (["demo", "--epochs", "many"], "yolo-callbacks demo: argument --epochs: invalid int value: 'many'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(command, said, capsys, folder):
    (folder / "wrong.yaml").write_text("callbacks:\n  - SaveBst\n")
    (folder / "list.json").write_text("[]")
    assert main(command) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(said)
    assert (printed.err.count("\n"), printed.out) == (1, "")


def test_demo(capsys, folder, monkeypatch):
    monkeypatch.setattr(demo, "run", lambda where, epochs: where / str(epochs))
    assert main(["demo", "--folder", "x", "--epochs", "2"]) == 0
    assert f"Open {Path('x/2/report.html')}" in capsys.readouterr().out
