from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ultralytics.utils.callbacks.base import default_callbacks

from yolo_callbacks.trainer.integrations import MLFLOW, RAY_TUNE, WANDB, drop_integration, drop_integrations


def functions_of(*names: str) -> list[Any]:
    """Functions of Ultralytics' integrations of these names."""
    found = []
    for name in names:
        module = ModuleType(f"ultralytics.utils.callbacks.{name}")
        exec("def log(trainer): ...", module.__dict__)
        found.append(module.__dict__["log"])
    return found


def own(trainer: Any) -> None:
    """A function of the user."""


@pytest.fixture
def trainer() -> Any:
    start, end = functions_of(WANDB, MLFLOW, RAY_TUNE, "comet"), functions_of(MLFLOW)
    default = default_callbacks["on_train_start"]
    return SimpleNamespace(callbacks={"on_train_start": [*default, own, *start], "on_train_end": end, "teardown": []})


@pytest.mark.parametrize("name", [WANDB, MLFLOW, RAY_TUNE])
def test_one_integration_is_removed_and_the_others_stay(name, trainer):
    run: Any = SimpleNamespace(trainer=trainer)
    before = [function for functions in trainer.callbacks.values() for function in functions]
    assert drop_integration(run, name) is True
    after = [function for functions in trainer.callbacks.values() for function in functions]
    assert after == [each for each in before if not each.__module__.endswith(f".{name}")]
    assert drop_integration(run, name) is False


def test_all_integrations_are_removed_from_the_lists_that_ultralytics_iterates_over(trainer):
    lists = dict(trainer.callbacks)
    drop_integrations(trainer)
    assert trainer.callbacks == {
        "on_train_start": [*default_callbacks["on_train_start"], own],
        "on_train_end": [],
        "teardown": [],
    }
    assert all(trainer.callbacks[name] is each for name, each in lists.items())
