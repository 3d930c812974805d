"""The comparison of the ways in which Ultralytics' tests run, and a sample of them."""

import json

import pytest
from peer import checkout, report, run, ways
from peer.report import FAILED, PASSED, SKIPPED, Outcome

from yolo_callbacks.trainer.installation import installed_version

pytestmark = pytest.mark.sample

CSV = "epoch,time,train/box_loss\n1,0.5,3.25\n2,0.9,3.0\n"


def test_times_are_no_difference() -> None:
    later = CSV.replace("0.5", "7.5").replace("0.9", "8.5")
    assert report.results_differences({"a/results.csv": CSV}, {"a/results.csv": later}) == []


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (CSV.replace("3.0", "3.1"), "a: train/box_loss"),
        (CSV + "3,1.2,2.5\n", "a: 3 rows, plain has 2"),
        (CSV.replace("train/box_loss", "train/cls_loss"), "a: train/box_loss, train/cls_loss"),
    ],
)
def test_a_value_a_row_and_a_column_are_differences(other: str, expected: str) -> None:
    assert report.results_differences({"a": CSV}, {"a": other}) == [expected]


def test_a_results_csv_on_one_side_only_is_a_difference() -> None:
    assert report.results_differences({"a": CSV}, {"b": CSV}) == ["a: missing", "b: not in plain"]


def test_other_weights_are_a_difference() -> None:
    plain = {"best.pt": "epoch 1, abc", "last.pt": "epoch 1, abc"}
    assert report.weights_differences(plain, {**plain, "best.pt": "epoch 1, def"}) == [
        "best.pt: epoch 1, def, plain epoch 1, abc"
    ]
    assert report.weights_differences(plain, {"last.pt": "epoch 1, abc"}) == ["best.pt: missing, plain epoch 1, abc"]


def test_only_what_passes_plain_can_be_worse() -> None:
    plain = {
        "good": Outcome(PASSED, results={"a": CSV}),
        "lost": Outcome(PASSED),
        "skipped with us": Outcome(PASSED),
        "changed": Outcome(PASSED, results={"a": CSV}),
        "offline": Outcome(FAILED, reason="needs a download"),
        "slow": Outcome(SKIPPED, reason="CUDA is not available"),
        "not run": Outcome(PASSED),
    }
    other = {
        "good": Outcome(PASSED, results={"a": CSV}),
        "lost": Outcome(FAILED, reason="assert 0 == 1"),
        "skipped with us": Outcome(SKIPPED, reason="why"),
        "changed": Outcome(PASSED, results={"a": CSV.replace("3.25", "3.5")}),
        "offline": Outcome(FAILED, reason="needs a download"),
        "slow": Outcome(SKIPPED),
    }
    assert report.regressions(plain, other) == {
        "lost": ["failed: assert 0 == 1"],
        "skipped with us": ["skipped: why"],
        "changed": ["results.csv: a: train/box_loss"],
        "not run": ["did not run"],
    }
    assert report.cannot_run(plain) == {
        "offline": "failed: needs a download",
        "slow": "skipped: CUDA is not available",
    }
    assert report.worse_in_any({"plain": plain, "same": plain, "other": other}, "plain") == ["other"]


def test_a_test_that_ends_its_process_has_failed() -> None:
    lines = [
        {"event": "start", "test": "a"},
        {"event": "end", "test": "a", "outcome": "passed", "seconds": 1.5, "reason": "", "results": {"r": CSV}},
        {"event": "start", "test": "b"},
    ]
    found = report.outcomes("".join(f"{json.dumps(line)}\n" for line in lines))
    assert found == {
        "a": Outcome(PASSED, seconds=1.5, results={"r": CSV}),
        "b": Outcome(FAILED, reason="its process ended"),
    }


def test_the_report_names_what_is_worse_and_what_cannot_run() -> None:
    found = {
        "plain": {"a": Outcome(PASSED, seconds=2.0), "b": Outcome(SKIPPED, reason="no GPU")},
        "default": {"a": Outcome(FAILED, seconds=3.0, reason="x | y"), "b": Outcome(SKIPPED, reason="no GPU")},
    }
    text = report.markdown(found, version="8.4.190", plain="plain")
    assert "## default: 1 test worse than plain\n\n- `a`: failed: x | y" in text
    assert "## 1 test cannot run here\n\n- `b`: skipped: no GPU" in text
    assert "| `a` | passed, 2.0 | failed, 3.0 |" in text


def test_every_callback_of_the_library_is_configured() -> None:
    """A new callback that needs arguments has to be given them in `ways.py`, or left out there with a reason."""
    assert set(ways.ARGUMENTS) <= set(ways.exported())


def test_the_yaml_of_every_callback_is_valid(tmp_path) -> None:
    from yolo_callbacks.config.loading import load

    configured = load(ways.value("strict", tmp_path))
    assert configured.strict
    assert {type(callback).__name__ for callback in configured.callbacks} == set(ways.exported()) - set(ways.LEFT_OUT)


def test_plain_always_runs_and_the_sample_is_small() -> None:
    assert run.arguments(["--ways", "strict"]).ways == ["plain", "strict"]
    assert run.arguments(["--sample"]).ways == ["plain", "default"]


@pytest.mark.training
def test_the_sample_is_the_same_with_our_callbacks() -> None:
    try:
        checkout.source_distribution()
    except checkout.UnavailableError as error:
        pytest.skip(str(error))
    status = run.main(["--sample"])
    if status == run.NOTHING_RAN and installed_version() < (8, 4):
        pytest.skip("this version of Ultralytics has no such test")
    assert status == 0
