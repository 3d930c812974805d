"""`ray_trainable`: the class that it makes, and the steps, checkpoints and ends of a trial without Ray Tune around."""

from __future__ import annotations

import pytest

from yolo_callbacks import ray_trainable
from yolo_callbacks.utils.ray_trial import current_trial

pytest.importorskip("ray")


def report(value, *, last=False):
    """Report a value with a checkpoint."""

    def write(folder):
        (folder / "value.txt").write_text(str(value))

    return current_trial().report({"value": value}, write, checkpoint=value % 2 == 0, last=last)


def train(config):
    """Report what is to be reported, from a checkpoint on."""
    source = current_trial().take_checkpoint()
    start = int((source / "value.txt").read_text()) if source else 0
    for value in range(start + 1, config["until"] + 1):
        if not report(value, last=value == config["until"]):
            config["stopped"].append(value)
            return None
    return config.get("returned")


def trial(**config):
    return ray_trainable(train)({"until": 3, "stopped": [], **config})


def step(one):
    """The values of a step that the function has given."""
    result = one.step()
    return {key: result[key] for key in ("value", "should_checkpoint", "done", "map", "__duplicate__") if key in result}


@pytest.mark.parametrize("function", [None, "train", dict])
def test_what_is_no_function(function):
    with pytest.raises(TypeError, match="function must be a function of one argument, received"):
        ray_trainable(function)


def test_the_class_has_the_name_of_the_function():
    """Ray names trials after it."""
    assert (ray_trainable(train).__name__, ray_trainable(train).__doc__) == ("train", train.__doc__)


@pytest.mark.parametrize(("returned", "more"), [(None, {}), ({"map": 0.5, "value": 9}, {"map": 0.5}), (0.5, {})])
def test_the_last_report_ends_the_trial(returned, more):
    one = trial(returned=returned)
    assert step(one) == {"value": 1, "should_checkpoint": False}
    assert step(one) == {"value": 2, "should_checkpoint": True}
    assert step(one) == {"value": 3, "should_checkpoint": False, "done": True, **more}
    one.cleanup()


def test_a_function_may_train_twice():
    def twice(config):
        for value in (1, 2):
            report(value, last=True)

    one = ray_trainable(twice)({})
    assert step(one) == {"value": 1, "should_checkpoint": False}
    assert step(one) == {"value": 2, "should_checkpoint": True, "done": True}


def test_a_function_that_ends_without_a_last_report():
    """Its last result stays the result of the trial."""

    def function(config):
        report(1)

    one = ray_trainable(function)({})
    assert step(one) == {"value": 1, "should_checkpoint": False}
    assert step(one) == {"__duplicate__": True, "done": True}


def test_the_end_of_a_trial_waits_for_the_function():
    stopped = []
    one = ray_trainable(train)({"until": 3})
    one._trial._config["stopped"] = stopped  # Ray hands a copy of the configuration to the trial
    step(one)
    one.cleanup()
    assert stopped == [1]


def test_a_checkpoint_is_that_of_the_last_report(tmp_path):
    one, other = trial(), trial()
    step(one)
    step(one)
    one.save_checkpoint(str(tmp_path))
    one.cleanup()
    other.load_checkpoint(str(tmp_path))
    (tmp_path / "value.txt").unlink()  # Ray may remove it
    assert step(other) == {"value": 3, "should_checkpoint": False, "done": True}


def test_a_process_takes_another_trial():
    one = trial()
    step(one)
    assert one.reset_config({"until": 1, "stopped": []})
    assert step(one) == {"value": 1, "should_checkpoint": False, "done": True}


def test_a_checkpoint_that_no_training_takes_is_removed(tmp_path):
    one = trial()
    one.load_checkpoint(str(tmp_path))
    folder = one._trial.checkpoint
    assert folder.is_dir()
    one.cleanup()
    assert not folder.exists()
