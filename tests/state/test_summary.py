"""The summary of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yolo_callbacks.state.summary import read_summary, render, render_html

ROW = {
    "outcome": None,
    "seconds": 0.0,
    "seconds_in_epochs": 0.0,
    "failures": 0,
    "switched_off": False,
    "of_report": False,
}
SUMMARY: dict[str, Any] = {
    "status": "finished",
    "epochs": 30,
    "stopped_by": "",
    "seconds": 100.0,
    "seconds_before": 40.0,
    "seconds_in_callbacks": 1.25,
    "seconds_in_epochs": 0.15,
    "epochs_timed": 20,
    "folder": str(Path("runs/train")),
    "next_step": "",
    "callbacks": [
        {**ROW, "name": "SaveBest", "outcome": "mAP50 0.5", "seconds": 1.2, "seconds_in_epochs": 0.1},
        {**ROW, "name": "Mine", "failures": 3, "switched_off": True},
        {**ROW, "name": "Quiet", "seconds": 0.0001},
        {**ROW, "name": "Recorder", "of_report": True},
    ],
}


def test_a_summary_of_nothing():
    assert read_summary(None) is None
    table = render(read_summary({"callbacks": [3, {"name": ["a"]}, {"outcome": "said"}], "seconds": float("nan")}))
    assert table.splitlines()[0] == "Callbacks: ended after 0 epochs in 0.0 s"
    assert "said" in table


def test_every_callback_has_a_row_and_costs_are_once_and_by_epoch():
    expected = [
        "Callbacks: finished after 30 epochs in 100.0 s, 40.0 s of them before it was resumed",
        "  SaveBest  1.1 s once, 5 ms an epoch  mAP50 0.5",
        "  Mine                                 failed 3 times; switched off",
        "  Quiet",
        "  all callbacks together took 1.1 s once, 8 ms an epoch (2.08 % of training)",
        "  files in runs/train",
    ]
    assert render(SUMMARY).splitlines() == expected
    assert render(read_summary(SUMMARY)).splitlines() == expected


def test_without_epochs_everything_is_once():
    summary = {**SUMMARY, "epochs_timed": 0, "seconds_before": 0.0}
    assert "SaveBest  1.2 s once  mAP50 0.5" in render(summary)
    old = {key: value for key, value in summary.items() if key not in ("epochs_timed", "seconds_in_epochs")}
    assert "all callbacks together took 1.2 s once (1.25 % of training)" in render(read_summary(old))


def test_what_continues_the_run_and_who_stopped_it():
    lines = render({**SUMMARY, "next_step": "yolo train", "stopped_by": "time="}).splitlines()
    assert lines[1] == "  stopped by time="
    assert lines[-1] == "  to continue: yolo train"


def test_a_notebook_shows_the_same_lines():
    summary = {**SUMMARY, "next_step": "yolo train", "stopped_by": "time=", "undecided_epoch": 3}
    text, page = render(summary), render_html(summary)
    for line in (
        "stopped by time=",
        "epoch 3 is complete, and the callbacks decide on it when the run is resumed",
        "to continue: ",
    ):
        assert line in text
        assert line in page


def test_the_table_of_a_notebook_is_escaped():
    page = render_html({**SUMMARY, "folder": "<b>", "callbacks": [{**ROW, "name": "A<i>", "outcome": "x & y"}]})
    assert "<b>" not in page
    assert "<i>" not in page
    assert "<td>x &amp; y</td>" in page
    assert "<th>A&lt;i&gt;</th>" in page


def test_a_table_fits_the_console_but_paths_and_commands_are_not_broken():
    path, command = "runs/" + "long-" * 10 + "name/best.pt", "wandb sync " + "/a/long/folder " * 8
    rows = [{**ROW, "name": "A", "outcome": f"words of it {'and more ' * 12}: {path}"}]
    rows.append({**ROW, "name": "B", "outcome": f"not uploaded: rows; upload with: {command.strip()}"})
    lines = render({**SUMMARY, "callbacks": rows, "seconds_before": 0.0}, 80).splitlines()
    assert [line for line in lines if len(line) > 79] == [line for line in lines if command.strip() in line]
    assert [line.split()[-1] for line in lines].count(path) == 1
    assert sum("upload with" in line for line in lines) == 1


def test_a_path_in_the_folder_is_shown_without_the_folder_except_in_a_command():
    inside = str(Path("runs/train", "weights", "best.pt"))
    rows = [{**ROW, "name": "A", "outcome": f"mAP50 0.5: {inside}; upload with: wandb sync {inside}"}]
    for shown in (render({**SUMMARY, "callbacks": rows}), render_html({**SUMMARY, "callbacks": rows})):
        assert f"mAP50 0.5: {Path('weights', 'best.pt')}; upload with: wandb sync {inside}" in shown


@pytest.mark.parametrize(
    ("status", "planned", "title"),
    [
        ("finished", 60, "finished after 30 epochs"),
        ("ended by Ctrl-C", 60, "ended by Ctrl-C after 30 of 60 epochs"),
        ("ended by Ctrl-C", 0, "ended by Ctrl-C after 30 epochs"),
    ],
)
def test_a_run_that_was_cut_off_says_how_many_epochs_were_planned(status, planned, title):
    found = render({**SUMMARY, "status": status, "planned_epochs": planned}).splitlines()[0]
    assert found.startswith(f"Callbacks: {title} in ")
