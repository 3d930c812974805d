"""A console that closes while the command prints, and a full disk."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from yolo_callbacks.cli.command import main
from yolo_callbacks.cli.output import CLOSED, run_with_output

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("write_through", [False, True], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("command", [["list"], ["--version"], ["init"], ["check", "SaveBest"], ["completion", "bash"]])
def test_a_reader_that_has_gone(command, write_through, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    # closing it writes what is left, as the interpreter does when it ends
    with io.TextIOWrapper(os.fdopen(writer, "wb"), encoding="utf-8", write_through=write_through) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(command) == CLOSED
        monkeypatch.undo()


def test_another_pipe_is_an_error(capfd, monkeypatch):
    """Such as the pipe of a process that loads images."""

    def broken() -> int:
        raise BrokenPipeError

    with Path(os.devnull).open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(BrokenPipeError):
            run_with_output(broken)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(monkeypatch, capsys):
    with Path("/dev/full").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["list"]) == 2
    assert capsys.readouterr().err == "the output cannot be written: No space left on device\n"


def test_no_console(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["list", "JsonlLogger"]) == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_head_ends_the_command_in_silence():
    """Also when the interpreter ends, which writes what is left. The help is printed by argparse."""
    run = f"'{sys.executable}' -c 'import sys; from yolo_callbacks.cli.command import main; sys.exit(main())'"
    script = f"{run} list | head -1; PYTHONUNBUFFERED=1 {run} --help | true"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("Deadline: ")


def test_a_reader_that_has_gone_is_an_exit_code():
    """Here it has gone before the command starts: with `head` the command may write all before that."""
    read, write = os.pipe()
    os.close(read)
    command = [
        sys.executable,
        "-c",
        "import sys; from yolo_callbacks.cli.command import main; sys.exit(main(['list']))",
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (CLOSED, "")
