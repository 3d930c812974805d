"""Ranges of epochs: how they are written, and which epochs they have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_callbacks.decisions.epoch_filter import EpochFilter

edges = st.integers(-30, 30).filter(bool)


@pytest.mark.parametrize(
    ("epochs", "chosen"),
    [
        ("3:5", [3, 4, 5]),
        ("8:", [8, 9, 10]),
        (":3", [1, 2, 3]),
        ("7", [7]),
        (7, [7]),
        (" 3 : 5 ", [3, 4, 5]),
        ("-3:", [8, 9, 10]),
        (":-8", [1, 2, 3]),
        ("-4:-3", [7, 8]),
        (-1, [10]),
        ("3:-7", [3, 4]),
        ("-9:3", [2, 3]),
        ("5:20", [5, 6, 7, 8, 9, 10]),
        ("12:", []),
        ("8:-8", []),
    ],
)
def test_the_epochs_of_a_range(epochs, chosen):
    found = EpochFilter.of(epochs)
    assert [epoch for epoch in range(1, 11) if found.matches(epoch, 10)] == chosen
    assert found.is_empty(10) == (not chosen)


def test_a_range_to_the_end_goes_on_where_the_run_does():
    assert EpochFilter.of("8:").matches(11, 10)
    assert EpochFilter.of("-2:").matches(11, 10)
    assert not EpochFilter.of("12:").matches(11, 10)
    assert not EpochFilter.of("3:5").matches(11, 10)


@pytest.mark.parametrize("epochs", ["", ":", "a", "1-5", "1:2:3", "1.5", "1:b", "³:", "--1"])
def test_what_is_no_range(epochs):
    with pytest.raises(ValueError, match='epochs must be such as "10:50"'):
        EpochFilter.of(epochs)


@pytest.mark.parametrize("epochs", ["0:", ":0", 0, "0"])
def test_epochs_are_counted_from_one(epochs):
    with pytest.raises(ValueError, match="epochs are counted from 1"):
        EpochFilter.of(epochs)


@pytest.mark.parametrize("epochs", ["5:3", "-3:-5"])
def test_a_range_that_ends_before_it_begins(epochs):
    with pytest.raises(ValueError, match="must not end before they begin"):
        EpochFilter.of(epochs)


@pytest.mark.parametrize("epochs", [None, True, 1.0, [1], range(3), b"1:"])
def test_wrong_types(epochs):
    with pytest.raises(TypeError, match="epochs must be a string or an integer"):
        EpochFilter.of(epochs)


@given(first=edges, last=edges, epochs=st.integers(1, 40))
def test_as_a_slice_with_both_ends(first, last, epochs):
    try:
        found = EpochFilter.of(f"{first}:{last}")
    except ValueError:
        assert last < first
        return
    begin, end = (edge if edge > 0 else epochs + 1 + edge for edge in (first, last))
    expected = [epoch for epoch in range(1, epochs + 1) if begin <= epoch <= end]
    assert [epoch for epoch in range(1, epochs + 1) if found.matches(epoch, epochs)] == expected
