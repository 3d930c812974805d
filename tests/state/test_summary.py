"""The summary of a run."""

from __future__ import annotations

from yolo_callbacks.state.summary import read_summary, render


def test_a_summary_of_nothing():
    assert read_summary(None) is None
    table = render(read_summary({"callbacks": [3, {"name": ["a"]}, {"outcome": "said"}], "seconds": float("nan")}))
    assert table.splitlines()[0] == "Callbacks: ended after 0 epochs in 0.0 s"
    assert "said" in table
