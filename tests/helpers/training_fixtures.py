"""Fixtures for real trainings. They import torch and Ultralytics where they are used, so that unit tests do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import environments
    from interpreter import Interpreter
    from ultralytics import YOLO

Train = Callable[..., Path]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and four validation scenes of three classes: about 0.3 s an epoch."""
    import digits

    return digits.detection(tmp_path_factory.mktemp("scenes"), train=8, val=4, size=32)


@pytest.fixture(scope="session")
def two_of_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `scenes`, but class 2 has no box in validation."""
    import digits

    return digits.detection(tmp_path_factory.mktemp("two"), train=8, val=4, size=32, absent_from_val=[2])


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> environments.Environment:
    """An environment with our wheel, and that of a package with a callback of its own."""
    import environments
    from made_once import made_once

    def make(folder: Path) -> None:
        environment = environments.Environment.make(folder / "venv")
        environment.install(environments.wheel(environments.ROOT, folder), environments.third_party(folder / "tally"))

    return environments.Environment(made_once(tmp_path_factory, "installed", make) / "venv")


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    """Runs scripts in processes of their own."""
    from interpreter import Interpreter

    interpreter = Interpreter()
    yield interpreter
    interpreter.close()


@pytest.fixture
def train(scenes: Path, tmp_path: Path) -> Train:
    """Train a model for a few fast epochs; returns the run's folder."""

    from trainings import FAST

    def run(model: YOLO, **overrides: Any) -> Path:
        if model.trainer is not None:
            # 8.4.51 to 8.4.103 lose it with the first training and raise KeyError in the second
            model.overrides.setdefault("model", str(model.trainer.best))
        model.train(**{**FAST, "data": str(scenes), "project": str(tmp_path), "name": "run", **overrides})
        return Path(model.trainer.save_dir)

    return run


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide that the tests run in a job of SLURM."""
    from stand_in_slurm import VARIABLES

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of an empty store in memory."""
    import fsspec

    store = fsspec.filesystem("memory").store
    store.clear()
    yield "memory://mirror/first"
    store.clear()


@pytest.fixture
def amp_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the weights with which Ultralytics checks AMP on a GPU, and which it would download."""
    from ultralytics import YOLO, utils

    YOLO("yolo26n.yaml").save(tmp_path / "yolo26n.pt")
    monkeypatch.setattr(utils, "WEIGHTS_DIR", tmp_path)


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save every figure of matplotlib blank."""
    from blank_figures import save_blank

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save_blank)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Any]], None]:
    """Replace validation by given results, one an epoch: a number is mAP50-95, a dict is all metrics.

    What remains is the real loop: checkpoints, resume, final evaluation, Ultralytics' own stopper.
    """

    from trainings import detection_metrics
    from ultralytics.engine.validator import BaseValidator

    def script(results: Sequence[Any]) -> None:
        position = iter(results)

        def validate(self: Any, trainer: Any = None, model: Any = None) -> dict[str, float]:
            self.training = trainer is not None
            self.run_callbacks("on_val_start")
            result = next(position) if self.training else results[-1]
            metrics = result if isinstance(result, dict) else detection_metrics(float(result))
            self.run_callbacks("on_val_end")
            fitness = metrics.get("fitness", metrics["metrics/mAP50-95(B)"])
            losses = {key: value for key, value in metrics.items() if key.startswith("val/") and self.training}
            return {"fitness": fitness, **{k: v for k, v in metrics.items() if k.startswith("metrics/")}, **losses}

        monkeypatch.setattr(BaseValidator, "__call__", validate)

    return script


class FakeBackend:
    """Offer the functions of `torch.cuda`, `torch.xpu` and `torch.npu`, and note every call."""

    def __init__(self, allocated: int, reserved: int, capacity: int) -> None:
        self.in_use, self.taken, self.capacity, self.calls = allocated, reserved, capacity, []

    def memory_allocated(self, device: Any) -> int:
        return self.in_use

    def memory_reserved(self, device: Any) -> int:
        return self.taken

    def max_memory_allocated(self, device: Any) -> int:
        return 2 * self.in_use

    def reset_peak_memory_stats(self, device: Any) -> None:
        self.calls.append("reset_peak")

    def get_device_properties(self, device: Any) -> Any:
        return SimpleNamespace(total_memory=self.capacity)

    def empty_cache(self) -> None:
        self.calls.append("empty_cache")
        self.taken = self.in_use

    def memory_summary(self, device: Any) -> str:
        return "a table"


@pytest.fixture
def fake_device(monkeypatch):
    """An accelerator in the place of the CPU for the memory callbacks; the training stays on the CPU."""
    from yolo_callbacks.utils.memory import GIB, accelerator_of

    backend, device = FakeBackend(GIB, 6 * GIB, 8 * GIB), SimpleNamespace(type="faked")
    monkeypatch.setattr("torch.faked", backend, raising=False)
    for module in ("memory_cleanup", "memory_monitor"):
        monkeypatch.setattr(f"yolo_callbacks.callbacks.{module}.accelerator_of", lambda _: accelerator_of(device))
    return backend
