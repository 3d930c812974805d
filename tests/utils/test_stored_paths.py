"""Paths in stored state: relative to the folder of the run."""

from __future__ import annotations

from pathlib import Path

from yolo_callbacks.utils.stored_paths import found_path, run_folder_of, stored_path


def test_a_path_in_the_run_is_stored_relative_to_it(tmp_path):
    inside, outside = tmp_path / "run" / "wandb" / "offline-run-1", tmp_path / "elsewhere" / "offline-run-2"
    assert stored_path(inside, tmp_path / "run") == "wandb/offline-run-1"
    assert stored_path(outside, tmp_path / "run") == str(outside)


def test_a_stored_path_is_found_where_it_is_now(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "wandb" / "offline-run-1").mkdir(parents=True)
    (here / "wandb" / "offline-run-2").mkdir()
    for stored in ("wandb/offline-run-1", str(here / "wandb" / "offline-run-1"), "/gone/run/wandb/offline-run-1"):
        assert found_path(stored, there) == there / "wandb" / "offline-run-1"
    assert found_path(str(here / "wandb" / "offline-run-2"), there) == here / "wandb" / "offline-run-2"
    assert found_path("wandb/offline-run-2", there, here) == here / "wandb" / "offline-run-2"
    for stored in ("wandb/offline-run-3", "/gone/run/wandb/offline-run-3", "x" * 5000, "/" + "x" * 5000):
        assert found_path(stored, there) is None


def test_the_folder_of_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_folder_of(Path("run/weights/last.pt")) == tmp_path / "run"
    assert run_folder_of(tmp_path / "alone" / "last.pt") == tmp_path / "alone"
