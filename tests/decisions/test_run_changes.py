"""Changes of a running training: how they are written, and what is refused."""

import pytest

from yolo_callbacks.decisions.run_changes import RunChanges


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        ({}, RunChanges()),
        ({"stop": True}, RunChanges(stop=True)),
        ({"stop": False, "save": True}, RunChanges(save=True)),
        ({"patience": 0}, RunChanges(patience=0)),
        ({"lr-scale": 1}, RunChanges(lr_scale=1.0)),
        ({"lr_scale": 0.5, "patience": 3}, RunChanges(lr_scale=0.5, patience=3)),
    ],
)
def test_changes(content, changes):
    assert RunChanges.of(content) == changes
    assert RunChanges.of(dict(changes.items())) == changes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "expected some of stop, save, patience, lr-scale, each with a value, found None"),
        (["stop"], r"expected some of stop, .* found \['stop'\]"),
        ({"stopx": True}, "there is no change 'stopx', did you mean 'stop'"),
        ({3: True}, "there is no change 3"),
        ({"stop": "yes"}, "stop must be true or false, received 'yes'"),
        ({"save": 1}, "save must be true or false, received 1"),
        ({"patience": -1}, "patience must be an integer from 0, received -1"),
        ({"patience": True}, "patience must be an integer from 0, received True"),
        ({"patience": 1.5}, "patience must be an integer from 0, received 1.5"),
        ({"lr-scale": 0}, "lr-scale must be above 0 and at most 1, received 0"),
        ({"lr-scale": 2}, "lr-scale must be above 0 and at most 1, received 2"),
        ({"lr-scale": float("nan")}, "lr-scale must be above 0 and at most 1, received nan"),
        ({"lr-scale": "half"}, "lr-scale must be above 0 and at most 1, received 'half'"),
    ],
)
def test_what_is_refused(content, said):
    with pytest.raises(ValueError, match=said):
        RunChanges.of(content)


def test_the_later_of_two_values():
    earlier, later = RunChanges(save=True, patience=3, lr_scale=0.5), RunChanges(stop=True, patience=9)
    assert earlier.merged(later) == RunChanges(stop=True, save=True, patience=9, lr_scale=0.5)
