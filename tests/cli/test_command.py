"""The command `yolo-callbacks`: what it prints and writes, and one line and exit code 2 for a user's mistake."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

import yolo_callbacks
from yolo_callbacks import JsonlLogger
from yolo_callbacks.cli import demo
from yolo_callbacks.cli.command import COMMANDS, main
from yolo_callbacks.config import registry, schema
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


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_help_fits_the_console_and_its_examples_can_be_copied(capsys, monkeypatch, columns):
    wide = {}
    for width in (1000, columns):
        monkeypatch.setenv("COLUMNS", str(width))
        for name in COMMANDS:
            text = help_of(capsys, name)
            copied = re.sub(r"( \\)?\n {6,}", " ", text).replace("    # ", " # ").partition("examples:")[2]
            assert wide.setdefault(name, copied) == copied
            if width == 80:
                assert max(map(len, text.splitlines())) <= width


def test_without_arguments_it_shows_the_help_as_yolo_does(capsys):
    shown = help_of(capsys)
    for command in ([], ["help"]):
        assert main(command) == 0
        assert capsys.readouterr().out == shown
    shown = help_of(capsys, "show")
    with pytest.raises(SystemExit, match="0"):
        main(["help", "show"])
    assert capsys.readouterr().out == shown


def test_versions_without_an_import(capsys):
    assert main(["--version"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    version = metadata.version
    assert line == (
        f"yolo-callbacks {yolo_callbacks.__version__} (ultralytics {version('ultralytics')}, torch {version('torch')}, "
        f"wandb {version('wandb')}, Python {platform.python_version()})"
    )


def test_show_names_the_newest_run_in_a_folder(capsys, folder):
    for number, name in enumerate(("older", "newer")):
        (folder / "runs" / name).mkdir(parents=True)
        path = folder / "runs" / name / "callbacks.json"
        path.write_text("{}")
        os.utime(path, (number, number))
    assert main(["show", "runs"]) == 2
    newest = Path("runs", "newer")
    assert capsys.readouterr().err == f"runs has no callbacks.json, did you mean {newest}?\n"
    assert main(["show", "nowhere"]) == 2
    assert capsys.readouterr().err == "nowhere does not exist\n"


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def interrupted(arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("yolo_callbacks.cli.command._run", interrupted)
    assert main(["train"]) == 130
    assert capsys.readouterr().err == ""


def test_init_check_and_list_agree(capsys, folder):
    assert main(["init"]) == 0
    assert main(["check", "callbacks.yaml"]) == 0
    names = [type(callback).__name__ for callback in load("callbacks.yaml").callbacks]
    later = "(names of monitors are validated when a training starts)"
    assert capsys.readouterr().out.splitlines()[2] == f"callbacks.yaml is valid: {', '.join(names)} {later}"
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    for name, callback in registry.own().items():
        assert f"{name}: {registry.summary(callback)}\n" in listed
    assert re.search(
        r"^  patience=None +Checks in a row without improvement after which to stop; 0 means", listed, re.M
    )
    assert main(["list", "JsonlLogger"]) == 0
    assert capsys.readouterr().out == f"JsonlLogger: {registry.summary(JsonlLogger)}\n\n"


@pytest.mark.parametrize(
    ("callback", "without", "said"),
    [
        ("Notify", "", "Notify: urls must be given, or be in the environment: NOTIFY_URLS is not set"),
        ("MLflowLogger", "mlflow", "MLflowLogger: MLflow is not installed: pip install mlflow-skinny"),
        ("WandbLogger", "wandb", "WandbLogger: wandb is not installed: pip install wandb"),
        ("WandbLogger: {dashboard: true}", "wandb_workspaces", "WandbLogger: the dashboard needs wandb-workspaces"),
        (
            "TensorBoardLogger",
            "tensorboard",
            "TensorBoardLogger: TensorBoard is not installed: pip install tensorboard",
        ),
        ("ExportBest", "onnxruntime", "ExportBest: an export to onnx needs packages: pip install onnxruntime"),
    ],
)
def test_check_warns_of_what_the_machine_lacks(capsys, folder, monkeypatch, callback, without, said):
    monkeypatch.delenv("NOTIFY_URLS", raising=False)
    if without:
        monkeypatch.setitem(sys.modules, without, None)
    (folder / "c.yaml").write_text(f"callbacks:\n  - SaveBest\n  - {callback}\n")
    assert main(["check", "c.yaml"]) == 0
    shown = capsys.readouterr()
    assert f"warning: c.yaml:3: {said}" in shown.err
    assert "c.yaml is valid: SaveBest, " in shown.out


def test_check_warns_of_nothing_that_is_there(capsys, folder, monkeypatch):
    monkeypatch.setenv("NOTIFY_URLS", "json://host/s3cret")
    (folder / "c.yaml").write_text("callbacks: [SaveBest, Notify, JsonlLogger]\n")
    assert main(["check", "c.yaml"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("NOTIFY_URLS", "nothing://host/s3cret")
    assert main(["check", "c.yaml"]) == 0
    shown = capsys.readouterr().err
    assert "Notify: urls must be URLs as apprise takes them" in shown
    assert "s3cret" not in shown


def test_init_replaces_a_file_only_with_force(capsys, folder):
    file = folder / "mine.yaml"
    file.write_text("mine")
    assert main(["init", "mine.yaml"]) == 2
    assert file.read_text() == "mine"
    assert capsys.readouterr().err == "mine.yaml exists: --force replaces it\n"
    assert main(["init", "mine.yaml", "--force"]) == 0
    assert load("mine.yaml").callbacks


def test_init_writes_a_schema_that_a_colleague_has_too(folder):
    (folder / "sub").mkdir()
    assert main(["init", "sub/mine.yaml"]) == 0
    first = (folder / "sub" / "mine.yaml").read_text().splitlines()[0]
    named = folder / "sub" / first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads(named.read_text()) == schema.schema()


def test_init_replaces_no_schema_of_others(capsys, folder):
    file = folder / "callbacks.schema.json"
    for content in ('{"title": "Mine"}', "[]", "{"):
        file.write_text(content)
        assert main(["init"]) == 2
        assert capsys.readouterr().err == (
            "callbacks.schema.json exists and is not of yolo-callbacks: rename it, or give --no-schema\n"
        )
        assert [path.name for path in folder.iterdir()] == [file.name]
    assert main(["init", "--no-schema"]) == 0
    assert file.read_text() == "{"
    assert "$schema" not in (folder / "callbacks.yaml").read_text()
    file.write_text(json.dumps({"title": schema.TITLE}))  # of another version
    assert main(["init", "--force"]) == 0
    assert json.loads(file.read_text()) == schema.schema()


def test_show_of_a_run_that_is_not_at_its_end(capsys, folder):
    (folder / "callbacks.json").write_text(json.dumps({"epoch": 3, "summary": None}))
    assert main(["show", "."]) == 0
    assert capsys.readouterr().out == "Callbacks: the run has not ended; callbacks.json has the state after epoch 3\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["lst"], "no command is called 'lst', did you mean 'list'? (there are train, extend, init,"),
        (["version"], "no command is called 'version', did you mean '--version'?"),
        (["--verion"], "yolo-callbacks: unknown option --verion, did you mean '--version'?"),
        (["help", "shw"], "no command is called 'shw', did you mean 'show'?"),
        (
            ["detect", "train", "epochs=3"],
            "yolo-callbacks: the command is missing, did you mean: yolo-callbacks train d",
        ),
        (["predict", "source=x"], "no command is called 'predict': callbacks act in trainings; for the rest run: yolo"),
        (["init", "--forc"], "yolo-callbacks init: unknown option --forc, did you mean '--force'? (see yolo-callbacks"),
        (
            ["train", "--callbacks", "c.yaml"],
            "yolo-callbacks train: argument '--callbacks': did you mean callbacks=c.y",
        ),
        (["extend", ".", "epoch=3"], "yolo-callbacks extend: argument 'epoch=3': did you mean epochs=3?"),
        (["extend", ".", "lr=hold"], "yolo-callbacks extend: epochs=… is required, as a number (see yolo-callbacks"),
        (
            ["extend", "epochs=3"],
            "yolo-callbacks extend: there is no folder 'epochs=3': the first argument is the folder",
        ),
        (
            ["dashboard", "--projct", "x"],
            "yolo-callbacks dashboard: unknown option --projct, did you mean '--project'?",
        ),
        (
            ["dashboard", "--task", "detct"],
            "yolo-callbacks dashboard: argument --task: 'detct' is not one of detect, s",
        ),
        (
            ["completion", "bas"],
            "yolo-callbacks completion: argument SHELL: 'bas' is not one of bash, zsh, fish, did yo",
        ),
        (["demo", "--epochs", "0"], "yolo-callbacks demo: argument --epochs: it must be a number from 1, received '0'"),
        (["init", "a", "b"], "yolo-callbacks init: unrecognized arguments: b (see yolo-callbacks init --help)"),
        (["init", "no/such/file.yaml"], "no/such/file.yaml cannot be written: No such file or directory"),
        (["check"], "yolo-callbacks check: the following arguments are required: FILE"),
        (["check", "none.yaml"], "none.yaml: No such file or directory"),
        (["check", "wrong.yaml"], "wrong.yaml:2: no callback is called 'SaveBst', did you mean 'SaveBest'?"),
        (["list", "Early"], "no callback is called 'Early', did you mean 'EarlyStopping'?"),
        (["show", "."], ". has no callbacks.json: no callbacks ran there"),
        (["show", "wrong.yaml"], "wrong.yaml cannot be read: JSONDecodeError: Expecting value"),
        (["show", "list.json"], "list.json cannot be read: expected a mapping, found list"),
        (
            ["demo", "--epochs", "many"],
            "yolo-callbacks demo: argument --epochs: it must be a number from 1, received 'many'",
        ),
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


def test_a_dry_run_begins_with_a_summary_and_prints_json(capsys, monkeypatch):
    sections = [{"name": "Quality", "panels": [1, 2, 3]}, {"name": "Memory", "panels": [1]}]
    specification = {"section": {"panelBankConfig": {"sections": sections}}}
    workspace = {"name": "YOLO training", "entity": None, "project": "crowns", "spec": specification}
    monkeypatch.setattr(
        "yolo_callbacks.loggers.wandb_parts.workspace.dashboard", lambda **options: json.dumps(workspace)
    )
    assert main(["dashboard", "--project", "crowns", "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == workspace
    assert printed.err == (
        "Dry run: nothing is published. The workspace 'YOLO training' of crowns for the task detect:\n"
        "2 sections with 4 panels\n  Quality  3\n  Memory   1\n"
    )
