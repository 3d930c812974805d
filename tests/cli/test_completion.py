"""The completion of a shell, with a real bash: what is proposed for the last word of a line."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from yolo_callbacks.cli.command import COMMANDS, main

LINES = {
    "": {*COMMANDS, "--help", "--version"},
    "sh": {"show"},
    "train call": {"callbacks="},
    "train epo": {"epochs="},
    "train callbacks=": {"callbacks.yaml", "other.yml", "default", "runs/", "my run/"},
    "train callbacks=ca": {"callbacks.yaml"},
    "train data=o": {"other.yml"},
    "show r": {"runs/"},
    "show runs/detect/t": {"runs/detect/train/"},
    "report runs/detect/train runs/detect/n": {"runs/detect/next/"},
    "report -o n": {"notes.txt"},
    "extend runs/detect/train lr=": {"hold", "stretch"},
    "extend runs/detect/train epo": {"epochs="},
    "check c": {"callbacks.yaml"},
    "check my": {"my run/"},
    "list Ear": {"EarlyStopping"},
    "dashboard --task po": {"pose"},
    "dashboard --project ": set(),
    "dashboard --dr": {"--dry-run"},
    "demo --folder r": {"runs/"},
    "completion z": {"zsh"},
    "lr-find fi": {"first="},
    "lr-find optimizer": {"optimizer="},
    "lr-find output=n": {"notes.txt"},
    "lr-find data=o": {"other.yml"},
    "nothing x": set(),
}


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Complete all lines in one bash."""
    folder = tmp_path_factory.mktemp("completion")
    for name in ("runs/detect/train", "runs/detect/next", "my run"):
        (folder / name).mkdir(parents=True)
    for name in ("callbacks.yaml", "other.yml", "notes.txt"):
        (folder / name).touch()
    with pytest.MonkeyPatch.context() as patch, (folder.parent / "completion.bash").open("w") as script:
        patch.setattr("sys.stdout", script)
        assert main(["completion", "bash"]) == 0
    commands = [f"source {shlex.quote(script.name)}"]
    for line in LINES:
        typed = shlex.quote(f"yolo-callbacks {line}")
        commands.append(
            f"COMP_LINE={typed}; COMP_POINT=${{#COMP_LINE}}; _yolo_callbacks; IFS='|'; echo \"${{COMPREPLY[*]}}\""
        )
    done = subprocess.run(
        ["bash", "--norc", "-uc", "\n".join(commands)], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    printed = done.stdout.split("\n")[:-1]
    return {line: set(filter(None, words.split("|"))) for line, words in zip(LINES, printed, strict=True)}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("line", LINES)
def test_bash_proposes(line, proposed):
    assert proposed[line] == LINES[line]


@pytest.mark.parametrize(("shell", "expected"), [
    ("zsh", "bashcompinit\ncomplete -o nospace -F _yolo_callbacks yolo-callbacks\n"),
    ("fish", "complete -c yolo-callbacks -n '__fish_seen_subcommand_from dashboard' -l task -xa 'detect segment "),
])  # fmt: skip
def test_other_shells(shell, expected, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert expected in script
    assert all(name in script for name in COMMANDS)
    assert str(Path.home()) not in script
