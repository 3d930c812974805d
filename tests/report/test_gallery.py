"""The gallery of images that fail, read back from the page of a small run whose files these tests write."""

import json

import pytest
from report_page import Page
from run_content import failing_run

from yolo_callbacks.report import report
from yolo_callbacks.report.gallery import FailingPicture, Frame, gallery
from yolo_callbacks.report.pictures import Album
from yolo_callbacks.report.reading import read_run


@pytest.fixture
def run(tmp_path):
    """A run with three epochs: a.png flips in epoch 2, b.png has a suspected label only."""
    return failing_run(tmp_path)


def test_the_images_and_what_is_wrong_in_them(run):
    found = gallery(read_run(run), Album())
    first, second = found.pictures
    assert (first.name, first.counts) == ("a.png", "1 right, 1 false, 1 missed")
    assert [(mark.kind, mark.label, mark.edges) for mark in first.marks] == [
        ("fp", "car 0.80", (10.0, 20.0, 40.0, 40.0)),
        ("fn", "van", (10.0, 20.0, 40.0, 40.0)),
    ]
    assert first.history == "0.0,1.0 50.0,19.0 100.0,10.0"
    assert [(mark.kind, mark.label) for mark in second.marks] == [("suspect", "bus overlooked")]
    assert found.classes == ["bus", "car", "van"]
    assert list(found.kinds) == ["fp", "fn", "suspect"]
    assert json.loads(found.flips) == {"1": [], "2": ["a.png"], "3": []}
    assert found.caption == "the validation of epoch 3, at confidence 0.25"
    assert found.left_out == 0


def test_the_page_has_them(run):
    page = Page(report(run))
    assert "failing" in page.sections
    assert "1 right, 1 false, 1 missed" in page.text
    assert page.unclosed == page.wrong == []


def test_no_label_covers_another_one():
    at = [("a 0.9", 10, 10), ("beside", 40, 10), ("covered", 12, 12), ("below", 10, 30), ("left of a", 1, 11)]
    marks = tuple(Frame("fp", label, (float(left), float(top), 20.0, 20.0)) for label, left, top in at)
    whole = Frame("fn", "cat", None)
    picture = FailingPicture("a.png", "", "", (*marks, whole), (), "")
    assert [mark.label for mark in picture.tags] == ["a 0.9", "beside", "below"]


def test_an_image_that_is_gone_is_left_out(run):
    (run.parent / "data" / "a.png").unlink()
    found = gallery(read_run(run), Album())
    assert [picture.name for picture in found.pictures] == ["b.png"]
    assert found.left_out == 1


def test_no_gallery_without_the_callback(run):
    (run / "failures.jsonl").unlink()
    assert gallery(read_run(run), Album()) is None
    assert "failing" not in Page(report(run)).sections


@pytest.mark.parametrize(
    "line",
    [
        {"epoch": 1},
        {"epoch": 1, "root": 3, "images": [], "worst": {}, "suspects": 1, "flips": "no"},
        {"epoch": 1, "root": "/", "worst": [{"image": "a.png", "wrong": [{"box": [1, None, 2, 3]}, 7]}]},
    ],
)
def test_values_of_other_kinds_are_left_out(run, line):
    (run / "failures.jsonl").write_text(f"{json.dumps(line)}\n")
    assert gallery(read_run(run), Album()).pictures == []
    assert Page(report(run)).unclosed == []


def test_the_most_frequent_confusions_are_sentences(run):
    assert gallery(read_run(run), Album()).confusions == ["car taken for van: 4 times", "van taken for car: 1 time"]
    said = "Most frequent confusions: car taken for van: 4 times; van taken for car: 1 time."
    assert said in Page(report(run)).text
