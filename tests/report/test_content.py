"""Read the report and the picture of small runs, whose files these tests write."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_agg
import numpy as np
import pytest
from report_page import Page
from run_content import KEYS, ROWS, STATE

from yolo_callbacks.report import report
from yolo_callbacks.report.charts import Line, Scale, draw
from yolo_callbacks.report.run_data import RunData
from yolo_callbacks.report.setup import setup
from yolo_callbacks.report.timeline import draw_timeline
from yolo_callbacks.report.words import NOTHING, duration, percent

GIB = 2**30
TRAINING: dict[str, Any] = {
    "hardware": {
        **{"device": "cuda", "device_name": "Test GPU", "device_memory": 8 * GIB, "processes": 2},
        **{"cpu": "Test CPU", "cores": 16, "host_memory": 64 * GIB, "system": "Test OS"},
    },
    "dataset": {"classes": 3, "train": {"images": 1200, "boxes": 5000}, "val": {"images": 80, "boxes": 300}},
    "optimizer": {"name": "AdamW", "rates": [0.002]},
    "batch": 24,
}
ARGUMENTS = """
task: detect
model: m.pt
data: d.yaml
epochs: 9
batch: -1
imgsz: 640
optimizer: auto
lr0: 0.01
lrf: 0.01
cos_lr: true
warmup_epochs: 3.0
"""


def write(folder: Path, *, state: dict[str, Any] | None = None, arguments: str = "", rows: str = ROWS) -> Path:
    (folder / "weights").mkdir(parents=True)
    (folder / "results.csv").write_text(f"{KEYS}\n{rows}")
    if state is not None:
        (folder / "callbacks.json").write_text(json.dumps(state))
    if arguments:
        (folder / "args.yaml").write_text(arguments)
    return folder


def test_the_set_up(tmp_path):
    page = Page(report(write(tmp_path / "run", state={**STATE, "training": TRAINING}, arguments=ARGUMENTS)))
    expected = {
        "Batch size": "24, batch=-1 was given",
        "Image size": "640 pixels",
        "Training images": "1,200, with 5,000 objects",
        "Validation images": "80, with 300 objects",
        "Classes": "3",
        "Optimizer": "AdamW, chosen by optimizer=auto",
        "Initial rate": "0.0020",
        "Rate at epoch 3": "0.010",
        "Schedule": "cosine to 1 % of the initial rate, 3 epochs of warm-up, 1 reduction by callbacks",
        "Device": "2 × Test GPU, 8.0 GiB",  # noqa: RUF001
        "CPU": "Test CPU, 16 cores",
        "Host memory": "64 GiB",
        "Operating system": "Test OS",
        "ultralytics": "8.4.190",
    }
    assert {name: page.rows[name][0][0] for name in expected} == expected


def test_an_old_run_has_no_row_for_what_is_not_known(tmp_path):
    page = Page(report(write(tmp_path / "run", state=STATE, arguments=ARGUMENTS)))
    assert not {"Device", "CPU", "Training images", "Initial rate"} & set(page.rows)
    assert page.rows["Batch size"] == [["-1"]]
    assert page.rows["Optimizer"] == [["auto"]]


JUNK: list[Any] = [None, True, -1, 1e308, 10**400, "x", "\ud800", [], [[None]], {"": {}}, math.nan]


def test_any_value_in_the_description_of_the_training():
    for name, content in TRAINING.items():
        for junk in JUNK:
            parts = [junk, *({**content, key: junk} for key in content)] if isinstance(content, dict) else [junk]
            for part in parts:
                run = RunData(Path(), "run", {"lr/pg0": {1: 0.1}}, training={**TRAINING, name: part})
                found = setup(run)
                assert [heading for heading, _ in found if heading == "Optimizer"]
                assert all(isinstance(text, str) and text for _, rows in found for row in rows for text in row)


def test_scalars_that_do_not_change_are_one_line(tmp_path):
    run = write(tmp_path / "run")
    lines = [{"epoch": epoch, "mine/same": 0.25, "mine/other": epoch} for epoch in (1, 2, 3)]
    (run / "callbacks.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    page = Page(report(run))
    assert "mine/other" in page.charts
    assert "mine/same" not in page.charts
    assert "The same in every epoch: mine/same 0.250." in page.text


def test_a_scalar_that_is_never_a_number_is_said_to_be_nothing(tmp_path):
    run = write(tmp_path / "run")
    lines = [{"epoch": epoch, "mine/nothing": None, "mine/large": 1e300} for epoch in (1, 2, 3)]
    (run / "callbacks.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert f"The same in every epoch: mine/nothing {NOTHING}; mine/large ∞." in Page(report(run)).text


def test_a_run_with_a_small_map_has_detected_something(tmp_path):
    runs = [fold(tmp_path / f"run{index}", value) for index, value in enumerate((0.0, 1e-5))]
    assert "Nothing was detected in any epoch of run0." in Page(report(*runs)).text
    (runs[0] / "results.csv").write_text("epoch,time,metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss\n1,1,0.01,0,1\n")
    assert "Nothing was detected" not in Page(report(*runs)).text


@pytest.mark.parametrize(
    ("outcome", "fitness", "expected"),
    [
        (
            "recall 0.5 at epoch 2: weights/best-recall.pt; best.pt is this epoch",
            [0.1, 0.2, 0.3],
            ", the checkpoint of epoch 2,",
        ),
        ("recall 0.5 at epoch 2: weights/best-recall.pt", [0.1, 0.2, 0.3], ", the checkpoint of epoch 3,"),
        ("ok", [], "Metrics of best.pt after training"),
    ],
)
def test_the_epoch_of_best_pt(tmp_path, outcome, fitness, expected):
    summary = {**STATE["summary"], "callbacks": [{**STATE["summary"]["callbacks"][0], "outcome": outcome}]}
    folder = write(tmp_path / "run", state={**STATE, "summary": summary})
    rows = [{"epoch": epoch, "fitness": value} for epoch, value in enumerate(fitness, 1)]
    rows.append({"final/metrics/mAP50-95(B)": 0.5})
    (folder / "callbacks.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert expected in Page(report(folder)).text


def test_a_loss_of_an_epoch_that_detects_nothing_is_never_the_best(tmp_path):
    run = write(tmp_path / "run", rows="1,1,1,0,0,0.1,0.01\n2,2,1,0.2,0.1,2.5,0.01\n3,3,1,0.3,0.2,2.0,0.01\n")
    page = Page(report(run))
    assert "best 2.000 · epoch 3" in page.text
    assert "best 0.100 · epoch 1" not in page.text


# The validation images of every task ----------------------------------------------------------------------------------


def with_images(folder: Path, **image: Any) -> str:
    """The page of a run that has stored one image."""
    import cv2

    run, path = write(folder / "run"), folder / "a.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    stored = {"names": {"0": "cat", "1": "dog"}, "images": [{"path": str(path), "size": [8, 8], **image}]}
    (run / "callbacks.images.json").write_text(json.dumps(stored))
    page = report(run).read_text(encoding="utf-8")
    return page.partition('<section id="images">')[2].partition("</section>")[0]


def test_masks_keypoints_and_rotated_boxes(tmp_path):
    square = [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]
    page = with_images(
        tmp_path,
        truth=[[0.1, 0.1, 0.4, 0.4, 0, None, {"mask": [square, square[:2]]}]],
        predictions=[
            [0.1, 0.1, 0.4, 0.4, 1, 0.9, {"corners": square}],
            [0.1, 0.1, 0.4, 0.4, 1, 0.8, {"points": [[0.25, 0.3], ["x", 1], [1], [0.5, None]], "mask": 3}],
        ],
    )
    assert '<path class="mask" d="M10,10 40,10 40,40ZM10,10 40,10Z"/>' in page
    assert '<polygon points="10,10 40,10 40,40"/>' in page
    assert '<path class="points" d="M25,30h0"/>' in page
    assert page.count("<rect") == 2


@pytest.mark.parametrize(
    ("classified", "words", "wrong"),
    [
        ([1, 0, 0.826], "label dog, predicted cat 0.83", True),
        ([1, 1, 1], "label dog, predicted dog 1.00", False),
        ([1, 5, 0.5], "label dog, predicted 5 0.50", True),
    ],
)
def test_the_classes_of_whole_images(tmp_path, classified, words, wrong):
    page = with_images(tmp_path, classified=classified)
    assert f"{words}</span>" in page
    assert ('class="wrong"' in page) is wrong
    assert 'id="confidence"' not in page
    assert "Images from the whole validation set" in page


@pytest.mark.parametrize("classified", [None, 3, [1, 2], ["a", 1, 0.5], [1, 2, None], [1, 2, float("inf")]])
def test_what_is_no_class_is_left_out(tmp_path, classified):
    assert "predicted" not in with_images(tmp_path, classified=classified)


# The confidence of the images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "sidecar", "start", "reason"),
    [
        (0.374, None, "0.37", "best at confidence 0.374, in the final evaluation of best.pt"),
        (0.0012, None, "0.05", "best at confidence 0.0012, in the final"),
        (None, {"cat": 0.5, "dog": 0.7}, "0.60", "0.6, in the validation at epoch 3, as a mean over classes"),
        ("x", None, "0.25", "0.25 is the default of Ultralytics"),
    ],
)
def test_the_slider_starts_at_the_best_f1(stored, sidecar, start, reason, tmp_path):
    import cv2

    folder = write(tmp_path / "run")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    box = [0, 0, 0.5, 0.5, 0]
    image = {"path": str(tmp_path / "a.png"), "size": [8, 8], "truth": [[*box, None]], "predictions": [[*box, 0.5]]}
    content = {"names": {"0": "cat"}, "images": [image], "best_confidence": stored}
    (folder / "callbacks.images.json").write_text(json.dumps(content))
    if sidecar:
        (folder / "weights" / "best-mAP50.json").write_text(json.dumps({"epoch": 3, "best_confidence": sidecar}))
    path = report(folder)
    assert f'step="0.01" value="{start}"' in path.read_text(encoding="utf-8")
    assert reason in Page(path).text


# Values above a chart -------------------------------------------------------------------------------------------------


def test_values_above_a_chart_are_marked():
    series = {1: 52.5, 2: 30.0, **{epoch: 1.0 + 1 / epoch for epoch in range(3, 40)}}
    chart = draw("loss", [Line("validation", series), Line("training", {7: math.inf}, 1)], Scale(39))
    assert chart.cut.endswith("are cut off, up to ∞ (training) at epoch 7")
    assert ">52.50<" in chart.svg
    assert ">∞<" in chart.svg
    assert ">30.00<" not in chart.svg  # a neighbour of a higher one


def test_no_mark_where_nothing_is_cut_off():
    chart = draw("loss", [Line("validation", {epoch: 1.0 + 1 / epoch for epoch in range(1, 40)})], Scale(39))
    assert chart.cut == ""


def test_a_metric_that_was_always_0_has_no_best_epoch(tmp_path):
    rows = "".join(f"{epoch},{epoch},1,0,0,1,0.01\n" for epoch in range(1, 4))
    page = Page(report(write(tmp_path / "run", rows=rows)))
    assert page.rows["Best mAP50-95"] == [["0", "in every validation: nothing was detected"]]
    assert "best 0.000" not in page.text
    assert "Nothing was detected in any epoch, so the metrics are 0." in page.text
    other = write(tmp_path / "other")
    page = Page(report(tmp_path / "run", other))
    assert "Nothing was detected in any epoch of run." in page.text
    assert "Nothing was detected" not in Page(report(other)).text


def test_a_reduction_has_its_value_and_the_rates(tmp_path):
    state = {"callbacks": {"ReduceLROnPlateau(mAP50-95)": {"monitor": "mAP50-95", "mode": "max", "cuts": [2]}}}
    rates = {1: 0.01, 2: 0.0098, 3: 0.00098}
    rows = "".join(f"{epoch},{epoch},1,0.5,0.{epoch},1,{rate}\n" for epoch, rate in rates.items())
    page = Page(report(write(tmp_path / "run", state=state, rows=rows)))
    assert page.rows["2"][0][:2] == ["Learning rate reduction, mAP50-95 on a plateau: 0.0098, then 0.00098", "0.200"]


def test_the_scalars_of_a_users_callback_are_drawn(tmp_path):
    run = write(tmp_path / "run")
    lines = [{"epoch": epoch, "mine/gap": 0.5 * epoch, "best/mAP50": 0.1} for epoch in (1, 2)]
    (run / "callbacks.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    page = Page(report(run))
    assert "logged" in page.sections
    assert page.values("mine/gap", "mine/gap") == ["0.500", "1.000"]
    assert "best/mAP50" not in page.charts


def test_a_resumed_run_does_not_name_its_checkpoint_as_its_model(tmp_path):
    resumed = write(tmp_path / "run", arguments="task: detect\nmodel: weights/last.pt\nresume: weights/last.pt")
    assert "last.pt · " not in Page(report(resumed)).text
    state = {**STATE, "training": {"architecture": "yolo11n.yaml"}}
    known = write(tmp_path / "known", arguments="task: detect\nmodel: last.pt\nresume: last.pt", state=state)
    assert "detect · yolo11n.yaml" in Page(report(known)).text


def test_paths_in_the_folder_are_shown_relative_to_it(tmp_path):
    summary = STATE["summary"]
    row = {**summary["callbacks"][0], "outcome": f"best: {Path(summary['folder']) / 'weights' / 'best.pt'}"}
    page = Page(report(write(tmp_path / "run", state={**STATE, "summary": {**summary, "callbacks": [row]}})))
    assert f"best: {Path('weights') / 'best.pt'}" in page.text


# Several runs ---------------------------------------------------------------------------------------------------------


def fold(folder: Path, value: float, *, task: str = "detect", arguments: str = "lr0: 0.01", final: float = 0.5) -> Path:
    key = "metrics/accuracy_top1" if task == "classify" else "metrics/mAP50-95(B)"
    folder.mkdir()
    rows = "".join(f"{epoch},{2 * epoch},{value * epoch},0.5\n" for epoch in (1, 2))
    (folder / "results.csv").write_text(f"epoch,time,{key},val/box_loss\n{rows}")
    (folder / "args.yaml").write_text(f"task: {task}\n{arguments}\nproject: {folder}\n")
    (folder / "callbacks.jsonl").write_text(json.dumps({f"final/{key}": final}) + "\n")
    return folder


def test_mean_and_spread_of_folds(tmp_path):
    values = (0.1, 0.15, 0.3)
    folds = [
        fold(tmp_path / f"fold{index}", value, arguments=f"data: {index}.yaml\nseed: {index}", final=value)
        for index, value in enumerate(values)
    ]
    page = Page(report(*folds))
    best, final = page.rows["mAP50-95"]
    assert best == ["0.200 epoch 2", "0.300 epoch 2", "0.600 epoch 2", "0.367 ± 0.208 n = 3"]
    assert final == ["0.100", "0.150", "0.300", f"0.183 ± {np.std(values, ddof=1):.3f} n = 3"]
    assert page.rows["Time of an epoch"] == [["2.0 s", "2.0 s", "2.0 s", "2.0 s ± 0 ms n = 3"]]
    assert page.rows["data"] == [["0.yaml", "1.yaml", "2.yaml"]]
    assert "fold0, fold1, fold2" in page.text
    assert "project" not in page.rows


def test_mean_and_spread_of_each_class_over_folds(tmp_path):
    """The last fold has no value of one class; a run of other settings is in no mean."""
    runs = [fold(tmp_path / f"fold{index}", 0.1, arguments=f"seed: {index}") for index in range(3)]
    runs.append(fold(tmp_path / "other", 0.1, arguments="lr0: 0.5"))
    for folder, cat, dog in zip(runs, (0.1, 0.2, 0.6, 0.5), (0.4, 0.6, None, 0.6), strict=True):
        scalars = {"per_class/cat/mAP50-95": cat, "per_class/dog/mAP50-95": dog}
        row = {"epoch": 2, **{key: value for key, value in scalars.items() if value is not None}}
        (folder / "callbacks.jsonl").write_text(json.dumps(row) + "\n")
    page = Page(report(*runs))
    assert page.rows["cat"] == [["0.100", "0.200", "0.600", "0.500", "0.300 ± 0.265 n = 3"]]
    assert page.rows["dog"] == [["0.400", "0.600", NOTHING, "0.600", "0.500 ± 0.141 n = 2"]]
    assert "n is the number of runs that have one" in page.text


def test_a_fold_that_was_trained_twice_counts_once(tmp_path):
    runs = [
        fold(tmp_path / f"run{index}", value, arguments=f"data: {data}.yaml\nseed: 0")
        for index, (value, data) in enumerate([(0.1, "a"), (0.3, "b"), (0.2, "a")])
    ]
    page = Page(report(*runs))
    assert page.rows["mAP50-95"][0][3] == "0.500 ± 0.141 n = 2"
    assert "run1, run2" in page.text
    again = [
        fold(tmp_path / f"again{index}", value, arguments="data: a.yaml") for index, value in enumerate((0.1, 0.3))
    ]
    assert Page(report(*again)).rows["mAP50-95"][0][2] == "0.400 ± 0.283 n = 2"


def test_an_interrupted_run_is_in_no_mean(tmp_path):
    values = enumerate((0.1, 0.3, 0.2))
    runs = [fold(tmp_path / f"run{index}", value, arguments=f"seed: {index}") for index, value in values]
    state = {"summary": {"status": "ended by KeyboardInterrupt", "epochs": 2, "seconds": 2.0, "callbacks": []}}
    (runs[1] / "callbacks.json").write_text(json.dumps(state))
    page = Page(report(*runs))
    assert page.rows["mAP50-95"][0][3] == "0.300 ± 0.141 n = 2"
    assert "run0, run2" in page.text


def test_the_share_of_a_resumed_run_is_that_of_its_last_part(tmp_path):
    summary = {**STATE["summary"], "seconds": 30.0, "seconds_before": 20.0, "seconds_in_callbacks": 1.0}
    page = Page(report(write(tmp_path / "run", state={**STATE, "summary": summary})))
    assert "10 % of the training time" in page.text


def test_a_metric_is_never_cut_off(tmp_path):
    rows = "".join(f"{epoch},{epoch},1,0.5,{0.9 if epoch == 7 else 0.01},1,0.01\n" for epoch in range(1, 13))
    page = Page(report(write(tmp_path / "run", rows=rows)))
    assert "cut off" not in page.text
    assert "best 0.900 · epoch 7" in page.text


def test_runs_of_different_settings_have_no_mean(tmp_path):
    runs = [fold(tmp_path / f"run{index}", 0.1, arguments=f"lr0: 0.0{index}\nbox: 7.5") for index in (1, 2)]
    page = Page(report(*runs))
    assert page.rows["lr0"] == [["0.01", "0.02"]]
    assert "box" not in page.rows
    assert "±" not in page.text
    assert "there is no mean" in page.text
    assert "is bold" not in page.text  # all values are equal


def test_runs_whose_final_evaluation_was_not_recorded_are_named(tmp_path):
    runs = [fold(tmp_path / name, value) for name, value in (("first", 0.1), ("second", 0.2))]
    assert "was not recorded" not in Page(report(*runs)).text
    assert "is bold" in Page(report(*runs)).text
    (runs[1] / "callbacks.jsonl").unlink()
    assert "The final evaluation of second was not recorded: report=True or" in Page(report(*runs)).text


def test_tasks_are_kept_apart(tmp_path):
    boxes = [fold(tmp_path / f"boxes{index}", 0.1) for index in (1, 2)]
    images = fold(tmp_path / "images", 0.4, task="classify")
    page = Page(report(boxes[0], images, boxes[1]))
    assert page.sections == ["values", "quality", "losses", "values-2", "quality-2", "losses-2", "configuration"]
    assert page.rows["mAP50-95"][0] == ["0.200 epoch 2", "0.200 epoch 2", "0.200 ± 0.000 n = 2"]
    assert page.rows["accuracy top1"][0] == ["0.800 epoch 2"]
    assert [line["color"] for line in page.charts["mAP50-95"]["lines"]] == [0, 2]  # as in the legend of the page
    assert page.rows["task"] == [["detect", "classify", "detect"]]


def test_more_runs_than_colours(tmp_path):
    page = Page(report(*(fold(tmp_path / f"fold{index}", 0.1) for index in range(9))))
    first, *_, last = page.charts["mAP50-95"]["lines"]
    assert (first["color"], first["dashed"], last["color"], last["dashed"]) == (0, False, 0, True)


# The page as HTML, the picture, the words -----------------------------------------------------------------------------


def test_every_element_is_closed_and_every_id_is_unique(tmp_path):
    run = write(tmp_path / "run", state={**STATE, "training": TRAINING}, arguments=ARGUMENTS)
    for path in (report(run), report(run, fold(tmp_path / "other", 0.3))):
        page = Page(path)
        assert (page.unclosed, page.wrong) == ([], [])
        assert len(set(page.ids)) == len(page.ids) > 5


def test_the_cost_in_plain_words(tmp_path):
    summary = {**STATE["summary"], "seconds_in_epochs": 0.3, "epochs_timed": 3}
    page = Page(report(write(tmp_path / "run", state={**STATE, "summary": summary})))
    assert page.rows["Callbacks took"] == [["100 ms", "an epoch, and 700 ms once: 10 % of the training time"]]
    assert page.rows["SaveBest"] == [["ok"], ["100 ms", "0 ms", "1.0 %", "ok"]]


def test_a_resumed_run_has_the_time_of_both_parts(tmp_path):
    rows = "".join(f"{epoch},{time},1,0.1,0.1,1,0.01\n" for epoch, time in ((1, 10), (2, 20), (3, 12), (4, 22)))
    page = Page(report(write(tmp_path / "run", rows=rows)))
    assert page.rows["Time of all epochs"] == [["42 s", "10 s an epoch"]]


@pytest.mark.parametrize(
    ("state", "arguments", "expected"),
    [
        (STATE, "epochs: 9", {"Stopped, enough", "| stopped at epoch 3 of 9"}),
        ({**STATE, "callbacks": {"SaveBest(mAP50)": STATE["callbacks"]["SaveBest(mAP50)"]}}, "epochs: 9",
         {"ended at epoch 3 of 9, by no callback of this run"}),
    ],
)  # fmt: skip
def test_the_picture_says_why_the_run_ended(state, arguments, expected, tmp_path, monkeypatch):
    texts: list[str] = []

    def print_figure(canvas: Any, path: Path, **_: Any) -> None:
        texts.extend(text.get_text() for axes in canvas.figure.axes for text in axes.texts)
        texts.extend(part for text in canvas.figure.texts for part in text.get_text().split("     "))
        Path(path).touch()

    monkeypatch.setattr(matplotlib.backends.backend_agg.FigureCanvasAgg, "print_figure", print_figure)
    draw_timeline(write(tmp_path / "run", state=state, arguments=arguments))
    assert expected <= set(texts)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.0, "0 ms"), (0.0001, "under 1 ms"), (0.0049, "5 ms"), (0.9996, "1.0 s"), (9.96, "10 s")),
        *((59.6, "1 min 00 s"), (3725.0, "1 h 02 min"), (None, NOTHING), (math.nan, NOTHING)),
    ],
)  # fmt: skip
def test_a_duration(seconds, text):
    assert duration(seconds) == text


def test_a_percentage():
    assert [percent(share) for share in (0.0, 0.0004, 0.0031, 0.1)] == ["0 %", "under 0.1 %", "0.3 %", "10 %"]
