"""Run README and docs: Python blocks run, YAML blocks load, commands and link targets exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import digits
import pytest
from trainings import FAST
from ultralytics import YOLO

from yolo_callbacks import JsonlLogger, attach
from yolo_callbacks.cli.command import COMMANDS
from yolo_callbacks.config.loading import load

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Block(NamedTuple):
    """A fenced block: its language, its code, and the line where it begins."""

    language: str
    code: str
    line: int


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    read = [Block(match[1], match[2], text[: match.start()].count("\n") + 1) for match in found]
    return [block for block in read if block.language in languages]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def pages_with(*languages: str) -> list[Any]:
    return [pytest.param(page, id=name(page)) for page in PAGES if blocks(page, *languages)]


@pytest.fixture(scope="module")
def scenes_of_a_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.detection(tmp_path_factory.mktemp("scenes"), train=4, val=2, size=32)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, scenes_of_a_page: Path, tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Let every training be a small one on the CPU, whatever its device, without weights; count them."""
    trained: list[dict[str, Any]] = []
    make, train = YOLO.__init__, YOLO.train

    def small_make(self: YOLO, model: str = "yolo11n.pt", *others: Any, **named: Any) -> None:
        make(self, Path(model).with_suffix(".yaml").name, *others, **named)

    def small_train(self: YOLO, **arguments: Any) -> Any:
        trained.append(arguments)
        ours = {"data": str(scenes_of_a_page), "epochs": 1, "project": str(tmp_path), "name": f"run{len(trained)}"}
        return train(self, **{**arguments, **FAST, **ours})

    monkeypatch.setattr(YOLO, "__init__", small_make)
    monkeypatch.setattr(YOLO, "train", small_train)
    monkeypatch.chdir(tmp_path)
    yield lambda: len(trained)
    import wandb

    if wandb.run is not None:  # a page that opens a run leaves it open
        wandb.finish()


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_python_of_a_page_runs_from_top_to_bottom(page, fast):
    code = blocks(page, "python")
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in code:
        exec(compile("\n" * block.line + block.code, name(page), "exec"), namespace)
    assert fast() >= sum(block.code.count("model.train(") for block in code)  # some train in a loop


def test_the_callback_of_the_page_on_writing_one_stops_a_training(train):
    code = blocks(ROOT / "docs/own.md", "python")[0].code
    assert code.count("\n") <= 30
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    model, logger = YOLO("yolo11n.yaml"), JsonlLogger()
    callback = namespace["SlowEpochs"](factor=0.0, patience=2)  # every epoch is slow
    attach(model, callback, logger)
    train(model, epochs=4)
    rows = [json.loads(line) for line in logger.path.read_text().splitlines()]
    assert [row.get("epoch") for row in rows] == [1, 2, None]
    assert callback.fastest == min(row["epoch/seconds"] for row in rows if "epoch" in row) > 0


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_the_yaml_of_a_page_is_right(page, tmp_path, monkeypatch):
    (tmp_path / "my_callbacks.py").write_text(
        "from yolo_callbacks import Callback\nclass Gap(Callback): ...\n"
        "class SlowEpochs(Callback):\n    def __init__(self, factor=3.0, patience=3): ...\n"
    )
    monkeypatch.setenv("WANDB_TEAM", "team")
    for block in blocks(page, "yaml"):
        file = tmp_path / "callbacks.yaml"
        file.write_text(block.code)
        assert load(str(file)).callbacks
    sys.modules.pop("my_callbacks", None)


@pytest.mark.parametrize("page", pages_with("bash"))
def test_the_commands_of_a_page_exist(page):
    code = "".join(block.code for block in blocks(page, "bash"))
    assert set(re.findall(r"yolo-callbacks ([a-z]+)", code)) <= set(COMMANDS)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([\w-]+)", code, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_every_link_to_a_page_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs the extra docs")
def test_the_documentation_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        assert (tmp_path / "site" / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()
