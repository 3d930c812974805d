"""Images over epochs: right, wrong, flipped and forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from yolo_callbacks.decisions.image_history import RIGHT, WRONG, ImageHistory


def test_an_image_that_was_right_flips():
    history = ImageHistory()
    assert history.update({"a": 0.9, "b": 0.1}, best=True).since_last == ()
    changes = history.update({"a": 0.2, "b": 0.9}, best=False)
    assert changes.since_last == changes.since_best == ("a",)
    assert history.right == {"b"}
    assert history.forgotten == {"a": 1}
    changes = history.update({"a": 0.2, "b": 0.9}, best=True)
    assert (changes.since_last, changes.since_best) == ((), ("a",))
    assert history.update({"a": 0.2, "b": 0.9}, best=False).since_best == ()


def test_between_the_limits_it_stays_what_it_was():
    history = ImageHistory()
    history.update({"right": 0.7, "wrong": 0.3, "new": 0.55}, best=True)
    assert history.right == {"right", "new"}
    assert history.update({"right": 0.41, "wrong": 0.59, "new": 0.45}, best=False).since_last == ()
    assert history.right == {"right", "new"}
    assert history.update({"right": 0.4, "wrong": 0.6, "new": 0.5}, best=False).since_last == ("right",)
    assert history.right == {"wrong", "new"}


def test_a_restored_history_goes_on():
    whole, first = ImageHistory(), ImageHistory()
    for history in (whole, first):
        history.update({"a": 0.9, "b": 0.55}, best=True)
        history.update({"a": 0.1, "b": 0.45}, best=False)
    resumed = ImageHistory()
    resumed.restore(first.right, {"a", "b"} - first.right, first.forgotten)
    resumed.right_at_best = set(first.right_at_best)
    values = {"a": 0.5, "b": 0.5}
    assert resumed.update(values, best=False) == whole.update(values, best=False)
    assert (resumed.right, resumed.forgotten) == (whole.right, whole.forgotten)


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=8))
def test_an_image_is_forgotten_as_often_as_it_flips(epochs):
    history, flips = ImageHistory(), dict.fromkeys("abc", 0)
    for values in epochs:
        f1 = dict(zip("abc", values, strict=True))
        for name in history.update(f1, best=False).since_last:
            flips[name] += 1
            assert f1[name] <= WRONG
        assert all(f1[name] > WRONG for name in history.right)
        assert all(f1[name] < RIGHT for name in f1.keys() - history.right)
    assert {name: count for name, count in flips.items() if count} == history.forgotten


def test_another_validation_is_judged_alone():
    history = ImageHistory()
    history.update({"a": 1.0, "b": 0.0}, best=True)
    assert history.right_alone({"a": 0.0, "b": 0.5, "c": 0.49}) == {"b"}
    assert history.right == {"a"}
