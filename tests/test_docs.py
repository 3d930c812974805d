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
from types import SimpleNamespace
from typing import Any

import digits
import pytest
import wandb
from message_server import MessageServer, message_server
from pages import ROOT, blocks
from stand_in_export import use
from stand_in_trial import StandInTrial
from trainings import FAST, TINY, results_csv
from ultralytics import YOLO
from ultralytics.utils import DEFAULT_CFG_DICT

import yolo_callbacks
from yolo_callbacks import Callback, JsonlLogger, attach
from yolo_callbacks.cli.command import COMMANDS
from yolo_callbacks.config import registry
from yolo_callbacks.config.loading import load

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def pages_with(*languages: str) -> list[Any]:
    return [pytest.param(page, id=name(page)) for page in PAGES if blocks(page, *languages)]


@pytest.fixture(scope="module")
def scenes_of_a_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.detection(tmp_path_factory.mktemp("scenes"), train=6, val=4, size=32)


class TunerInThisProcess:
    """Run one trial of a search with Ray Tune as Ray does, without its processes: they would train in full."""

    def __init__(self, trainable: Any, *, param_space: dict[str, Any], tune_config: Any, run_config: Any = None):
        sampled = {name: getattr(value, "sample", lambda value=value: value)() for name, value in param_space.items()}
        self.trial, self.metric = trainable(sampled), tune_config.metric

    def fit(self) -> Any:
        result: dict[str, Any] = {}
        while not result.get("done"):
            result = self.trial.step()
        assert self.metric in result
        self.trial.cleanup()
        return SimpleNamespace(get_best_result=lambda: SimpleNamespace(metrics=result, config=self.trial.config))


@pytest.fixture(scope="module")
def service() -> Iterator[MessageServer]:
    """Take the messages of `Notify`."""
    with message_server() as found:
        yield found


@pytest.fixture
def fast(
    monkeypatch: pytest.MonkeyPatch, scenes_of_a_page: Path, tmp_path: Path, service: MessageServer
) -> Iterator[Callable[[], int]]:
    """Let every training be a small one on the CPU, whatever its device, without weights; count them."""
    trained: list[dict[str, Any]] = []
    make, train, tune, extend = YOLO.__init__, YOLO.train, YOLO.tune, yolo_callbacks.extend

    def small_make(self: YOLO, model: str | Path = "yolo11n.pt", *others: Any, **named: Any) -> None:
        make(self, model if Path(model).is_file() else TINY, *others, **named)

    def data(arguments: dict[str, Any]) -> dict[str, str]:
        given = arguments.get("data", "")
        return {"data": given if Path(given).is_file() else str(scenes_of_a_page)}  # a page may write its own

    def small_train(self: YOLO, **arguments: Any) -> Any:
        trained.append(arguments)
        if arguments.pop("resume", False) and self.ckpt:  # a page may show how to resume a run that is not there
            arguments["resume"] = True
            return train(self, **arguments)
        ours = {"epochs": 1, "project": str(tmp_path), "name": f"run{len(trained)}"}
        return train(self, **{**arguments, **FAST, **ours, **data(arguments)})

    def small_tune(self: YOLO, **arguments: Any) -> Any:
        trained.append(arguments)
        ours = {"epochs": 1, "iterations": 1, "project": str(tmp_path), "name": "tune"}
        return tune(self, **{**arguments, **FAST, **ours, **data(arguments)})

    def small_extend(run: Any, *callbacks: Any, epochs: int, **arguments: Any) -> Any:
        return extend(run, *callbacks, epochs=2, **arguments)

    monkeypatch.setattr(YOLO, "__init__", small_make)
    monkeypatch.setattr(YOLO, "train", small_train)
    monkeypatch.setattr(YOLO, "tune", small_tune)
    monkeypatch.setattr(yolo_callbacks, "extend", small_extend)
    if find_spec("ray"):
        monkeypatch.setattr("ray.tune.Tuner", TunerInThisProcess)
    monkeypatch.setattr("ultralytics.utils.tuner.run_ray_tune", lambda model, **arguments: None)
    use(monkeypatch)  # a real export takes longer than most pages
    monkeypatch.setenv("NOTIFY_URLS", service.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "trees").symlink_to(scenes_of_a_page.parent)
    monkeypatch.setattr(wandb, "agent", one_trial)
    yield lambda: len(trained)
    if wandb.run is not None:  # a page that opens a run leaves it open
        wandb.finish()


def one_trial(sweep: str, function: Callable[[], object], **options: Any) -> None:
    """Take the place of `wandb.agent`, with a sweep of one trial; the tests with a server have the real one."""
    with wandb.init(config={"lr0": 0.01}) as run, pytest.MonkeyPatch.context() as patch:
        patch.setattr(wandb, "init", lambda: run)
        function()


# As long as all other pages together: the tuner imports scipy, the recipe has five trainings, a report draws pictures.
SLOW = {"docs/tuning.md", "docs/folds.md", "docs/reports.md"}


def marks(page: Path) -> list[pytest.MarkDecorator]:
    code = "\n".join(block.code for block in blocks(page, "python"))
    needed = {"ray": "from ray ", "mlflow": "MLflowLogger", "apprise": "Notify("}
    missing = [extra for extra, sign in needed.items() if sign in code and find_spec(extra) is None]
    skipped = pytest.mark.skipif(bool(missing), reason=f"needs the extra {', '.join(missing)}")
    return [skipped, *([pytest.mark.slow] if name(page) in SLOW else [])]


def python_pages() -> list[Any]:
    return [pytest.param(page, id=name(page), marks=marks(page)) for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", python_pages())
def test_the_python_of_a_page_runs_from_top_to_bottom(page, fast):
    code = blocks(page, "python")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in code:
        exec(compile("\n" * block.line + block.code, name(page), "exec"), namespace)
    calls = ("model.train(", "model.tune(", " extend(")
    assert fast() >= sum(block.code.count(call) for block in code for call in calls)  # some train in a loop


def class_of_a_page(name: str) -> Any:
    """Return the class that a block of the page on writing callbacks defines."""
    code = next(block.code for block in blocks(ROOT / "docs/own.md", "python") if f"class {name}(" in block.code)
    definition = code[: code.rindex("\n\n\n")] if "model =" in code else code
    assert definition.count("\n") <= 45
    namespace: dict[str, Any] = {}
    exec(definition, namespace)
    return namespace[name]


def test_the_callback_of_the_page_on_writing_one_stops_a_training(train):
    model, logger = YOLO(TINY), JsonlLogger()
    callback = class_of_a_page("SlowEpochs")(factor=0.0, patience=2)  # every epoch is slow
    attach(model, callback, logger)
    train(model, epochs=4)
    rows = [json.loads(line) for line in logger.path.read_text().splitlines()]
    assert [row.get("epoch") for row in rows] == [1, 2, None]
    assert callback.fastest == min(row["epoch/seconds"] for row in rows if "epoch" in row) > 0


def test_the_callback_of_that_page_with_a_monitor_keeps_its_state(train, scripted):
    made, model = class_of_a_page("StopOnDrops"), YOLO(TINY)
    callback, lower = made("mAP50", limit=2), made("val/cls_loss", limit=9)
    attach(model, callback, lower, strict=True)
    scripted([0.3, 0.2, 0.4, 0.1, 0.5])
    folder = train(model, epochs=5)
    assert (callback.drops, callback.last, lower.drops) == (2, 0.1, 2)
    assert len(results_csv(folder)) == 4
    restored = made("mAP50")
    restored.load_state_dict(json.loads(json.dumps(callback.state_dict())))
    assert (restored.drops, restored.last) == (2, 0.1)


CALLBACKS = [
    exported
    for exported in yolo_callbacks.__all__
    if isinstance(getattr(yolo_callbacks, exported), type) and issubclass(getattr(yolo_callbacks, exported), Callback)
]


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_the_callbacks_in_the_text_of_a_page_can_be_made(page):
    """Each `SaveBest("mAP50", top_k=3)`, but not one with `…`, nor one of another library with the same name."""
    names = {
        "monitor": "mAP50",
        "f1": float,
        "trial": StandInTrial(),
        **{each: getattr(yolo_callbacks, each) for each in CALLBACKS},
    }
    for code in re.findall(rf"`((?:{'|'.join(CALLBACKS)})\([^`…]*\))`", page.read_text(encoding="utf-8")):
        if code not in OF_OTHERS:
            eval(code, names)


OF_OTHERS = {"WandbLogger(log_model=True)", "EarlyStopping(restore_best_weights=True)"}


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_the_yaml_of_a_page_is_right(page, tmp_path, monkeypatch):
    (tmp_path / "my_callbacks.py").write_text(
        "from yolo_callbacks import Callback\nclass Gap(Callback): ...\n"
        "class SlowEpochs(Callback):\n    def __init__(self, factor=3.0, patience=3): ...\n"
    )
    monkeypatch.setenv("WANDB_TEAM", "team")
    monkeypatch.setenv("SLACK_URL", "slack://TokenAaaaa/TokenBbbbb/TokenCcccccccccccccccccc")
    for block in blocks(page, "yaml"):
        file = tmp_path / "callbacks.yaml"
        if block.code.startswith(("method:", "apiVersion:", "- name: runs")):
            continue  # a sweep of W&B, which the tests with a server run; of Kubernetes: tests/slow/test_containers.py
        file.write_text(block.code)
        assert load(str(file)).callbacks
    sys.modules.pop("my_callbacks", None)


@pytest.mark.parametrize("page", pages_with("bash"))
def test_the_commands_of_a_page_exist(page):
    code = "".join(block.code for block in blocks(page, "bash"))
    assert set(re.findall(r"yolo-callbacks ([a-z]+(?:-[a-z]+)*)", code)) <= set(COMMANDS)
    for mode, arguments in re.findall(
        r"(?:yolo|yolo-callbacks) (train|tune|extend)((?: [\w/.-]+(?:=[^\s#]+)?)*)", code
    ):
        known = {*DEFAULT_CFG_DICT, "callbacks", "lr"} | ({"iterations"} if mode == "tune" else set())
        assert set(re.findall(r"(\w+)=", arguments)) <= known
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([\w-]+)", code, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_this_library_is_installed_from_its_clone(page):
    assert not re.search(r"\binstall[^\n]* [\"']?yolo-callbacks\b", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "callbacks").glob("*.md")), ids=lambda page: page.stem)
def test_the_page_of_a_callback_says_what_prints_its_reference(page):
    text = page.read_text(encoding="utf-8")
    [callback] = re.findall(r"^## Reference\n(?:\n.*)?\n\n::: yolo_callbacks\.(\w+)$", text, re.MULTILINE)
    assert f"`help({callback})` " in text
    assert (f"`yolo-callbacks list {callback}` prints" in text) == (callback in registry.own())


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_every_link_to_a_page_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_every_link_to_a_heading_and_every_address_is_well_formed(page):
    """MkDocs checks headings too, but not those of links from README."""
    for target, heading in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        text = (page.parent / target if target else page).read_text(encoding="utf-8")
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        found = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
        assert heading in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}, heading
    for address in re.findall(r"\]\((\w+:[^)]*)\)", page.read_text(encoding="utf-8")):
        assert re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/[\w.~#/-]*)?", address), address


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs the extra docs")
def test_the_documentation_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        built = tmp_path / "site" / page.relative_to(ROOT / "docs").with_suffix(".html")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]* src="([^"]+)"', built.read_text(encoding="utf-8"))
        linked = re.findall(r"<link [^>]*>", built.read_text(encoding="utf-8"))
        assert [address for address in [*loaded, *linked] if "//" in address and "canonical" not in address] == []
        assert all((built.parent / address).is_file() for address in loaded)
    index = (tmp_path / "site" / "search" / "search_index.js").read_text(encoding="utf-8")  # for pages from the disk
    assert index.startswith("var __index = {")
    assert "StopOnOverfit" in index
