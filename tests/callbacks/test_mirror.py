"""Mirror: what arrives in a store and when, stores that fail, hang or are away, and runs that go on elsewhere."""

from __future__ import annotations

import json
import os
import pickle
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
import torch
from faulty_store import FaultyFileSystem
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, JsonlLogger, Mirror, Preemption, SaveBest, attach
from yolo_callbacks.callbacks.mirror_parts import uploader as uploads
from yolo_callbacks.config.loading import load
from yolo_callbacks.state.mirror_store import MirrorStore

pytestmark = pytest.mark.training


def copies(url):
    return list(MirrorStore(url, {}).copies())


def summary_of(folder):
    return json.loads((folder / "callbacks.json").read_text())["summary"]


def outcome_of(folder):
    return {row["name"]: row["outcome"] for row in summary_of(folder)["callbacks"]}["Mirror"]


@pytest.fixture(autouse=True)
def no_delays(monkeypatch):
    monkeypatch.setattr(uploads, "DELAYS", (0.0, 0.0))


@pytest.fixture
def steps(monkeypatch):
    """Note the steps of the faulty store."""
    noted = []
    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(noted.append))
    return noted


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"url": 3}, TypeError, "url must be a string, received 3"),
        ({"url": " "}, ValueError, "url must not be empty"),
        ({"url": "nope://bucket"}, ValueError, "Protocol not known: nope"),
        ({"url": "s3:/bucket/x"}, ValueError, "url must begin with 's3://', such as 's3://bucket/x', received"),
        ({"url": "s3:bucket/x"}, ValueError, "such as 's3://bucket/x', received 's3:bucket/x'"),
        ({"url": "nope:/bucket"}, ValueError, "such as 'nope://bucket'"),
        ({"url": "file:/mnt/store"}, ValueError, "such as 'file:///mnt/store'"),
        ({"url": "simplecache::s3:/bucket"}, ValueError, "such as 's3://bucket'"),
        ({"url": "nope::memory://a"}, ValueError, "Protocol not known: nope"),
        ({"url": "~nobody-of-that-name/store"}, ValueError, "the home folder of ~nobody-of-that-name is not known"),
        ({"url": "memory://a", "every": 0}, ValueError, "every must be at least 1"),
        ({"url": "memory://a", "finish_timeout": -1}, ValueError, "finish_timeout must be finite and at least 0"),
        ({"url": "memory://a", "storage_options": "secret"}, TypeError, "must be a mapping or None, received a str"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Mirror(**arguments)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("store", "{cwd}/store"),
        ("./~/store", "{cwd}/~/store"),
        ("runs:1", "{cwd}/runs:1"),
        ("~/store", "{home}/store"),
        ("file://~/store", "file://{home}/store"),
        ("local://store", "local://{cwd}/store"),
        ("/mnt/store/", "/mnt/store"),
        ("simplecache::memory://a", "simplecache::memory://a"),
    ],
)
def test_a_folder_is_shown_by_its_absolute_path(url, shown, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert Mirror(url).shown_url == shown.format(cwd=tmp_path, home=home)


@pytest.mark.parametrize("url", ["store/first", "~/store/first", "file://~/store/first"])
def test_the_copies_and_the_table_are_at_that_path(url, train, scripted, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    scripted([0.1])
    model = YOLO(TINY, task="detect")
    attach(model, Mirror(url), strict=True)
    folder = train(model, epochs=1)
    assert [copy.epoch for copy in copies(str(tmp_path / "store" / "first"))] == [1, 1]
    assert outcome_of(folder).endswith(f"{tmp_path}/store/first")
    assert not (tmp_path / "~").exists()


def test_a_wrong_url_shows_no_password():
    with pytest.raises(ValueError, match="must begin with") as caught:
        Mirror("ftp:/me:pass/word@host/runs")
    assert "pass" not in str(caught.value)


def test_two_in_one_place_are_refused():
    with pytest.raises(ValueError, match=r"Mirror and Mirror would both write the copies in /mnt/a: give each a"):
        attach(YOLO(TINY, task="detect"), Mirror("/mnt/a"), Mirror("file:///mnt/a/"))
    with pytest.raises(ValueError, match="Mirror and Mirror would both write the copies in memory://a: give each a"):
        attach(YOLO(TINY, task="detect"), Mirror("memory://a"), Mirror("memory://a"))


def test_credentials_are_not_shown():
    mirror = Mirror(
        "ftp://me:pass/wo,r'd@host/runs", storage_options={"secret_key": "hidden", "endpoint_url": "http://x"}
    )
    assert repr(mirror) == (
        "Mirror(url='ftp://•••@host/runs', storage_options={'secret_key': '•••', 'endpoint_url': 'http://x'})"
    )
    error = OSError("login of ftp://me:pass/wo,r'd@host/runs with hidden failed\nat once")
    assert mirror.described(error) == "OSError: login of ftp://host/runs with ••• failed at once"


def test_the_last_two_copies_of_a_run_are_complete(train, scripted, memory):
    scripted([0.1, 0.3, 0.2, 0.4])
    mirror = Mirror(memory)
    model = YOLO(TINY, task="detect")
    attach(model, SaveBest("mAP50"), EarlyStopping("mAP50", patience=9), JsonlLogger(), mirror, strict=True)
    folder = train(model, epochs=4)
    found = copies(memory)
    assert [(copy.epoch, copy.finished) for copy in found] == [(4, True), (4, False)]
    assert found[0].key == found[1].key
    assert mirror.copied_epochs == sorted(mirror.copied_epochs)
    assert mirror.copied_epochs[-2:] == [4, 4]
    names = {"args.yaml", "callbacks.json", "callbacks.journal.jsonl", "callbacks.jsonl", "results.csv"}
    weights = {"weights/best.pt", "weights/last.pt", "weights/best-mAP50.pt", "weights/best-mAP50.json"}
    assert found[0].files.keys() == names | weights
    stored = {Path(path).name for path in fsspec.filesystem("memory").find(f"/mirror/first/{found[0].key}/files")}
    assert stored == found[0].stored_names() | found[1].stored_names()
    assert outcome_of(folder) == f"epoch 4 is in {memory}"
    assert not list(folder.glob(".*"))


def test_the_state_is_written_after_the_checkpoints_and_the_manifest_last(train, scripted, tmp_path, steps):
    scripted([0.1])
    model = YOLO(TINY, task="detect")
    attach(model, SaveBest("mAP50"), Mirror(f"faulty://{tmp_path}/store"), strict=True)
    train(model, epochs=1)
    first = [step.removeprefix("before ") for step in steps if step.startswith("before ")]
    first = first[: first.index("manifest") + 1]
    kinds = [Path(name).suffix == ".pt" for name in first]
    assert kinds == sorted(kinds, reverse=True)
    assert {"last.pt", "best.pt", "best-mAP50.pt", "callbacks.journal.jsonl", "manifest"} <= set(first)


def test_each_nth_epoch_and_the_end(train, scripted, memory):
    scripted([0.1, 0.2, 0.3, 0.4, 0.5])
    model = YOLO(TINY, task="detect")
    mirror = Mirror(memory, every=3)
    attach(model, mirror, strict=True)
    train(model, epochs=5)
    assert set(mirror.copied_epochs) <= {3, 5}
    assert mirror.copied_epochs[-1] == 5


def test_another_run_in_the_same_place_keeps_the_copies_of_the_first(train, scripted, memory):
    scripted([0.1, 0.2, 0.1, 0.2])
    for name in ("one", "two"):
        model = YOLO(TINY, task="detect")
        attach(model, Mirror(memory), strict=True)
        train(model, epochs=2, name=name)
    keys = [copy.key for copy in copies(memory)]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_a_store_that_is_away_costs_one_warning_and_a_row(train, scripted, messages, tmp_path, monkeypatch):
    def away(step):
        raise ConnectionError("faulty://me:password@host/store is away")

    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(away))
    scripted([0.1, 0.3, 0.2])
    mirror, model = Mirror(f"faulty://{tmp_path}/store"), YOLO(TINY, task="detect")
    attach(model, SaveBest("mAP50"), mirror, strict=True)
    folder = train(model, epochs=3)
    said = [message for message in messages if message.startswith("Mirror: ")]
    assert len(said) == 1
    assert "could not be copied" in said[0]
    assert "ConnectionError: faulty://host/store is away" in said[0]
    assert mirror.copied_epochs == []
    assert outcome_of(folder).startswith("nothing is in faulty:/")
    assert outcome_of(folder).endswith("could not be copied")
    assert not [text for text in (*messages, (folder / "callbacks.json").read_text()) if "password" in text]
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2, 3]
    assert not list(folder.glob(".*"))


def test_a_url_of_the_environment_is_not_shown(train, scripted, messages, tmp_path, monkeypatch):
    def away(step):
        raise ConnectionError(f"{tmp_path}/hidden is away")

    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(away))
    monkeypatch.setenv("STORE", f"faulty://{tmp_path}/hidden")
    (tmp_path / "callbacks.yaml").write_text("callbacks:\n  - Mirror: {url: '${STORE}'}\n")
    scripted([0.1, 0.3])
    model = YOLO(TINY, task="detect")
    attach(model, *load(str(tmp_path / "callbacks.yaml")).callbacks, strict=True)
    folder = train(model, epochs=2)
    assert outcome_of(folder).startswith("nothing is in ${STORE}, ")
    assert len([message for message in messages if "could not be copied to ${STORE}" in message]) == 1
    assert not [text for text in (*messages, (folder / "callbacks.json").read_text()) if "hidden" in text]


def test_a_store_that_hangs_stops_no_epoch_and_is_given_up_at_the_end(train, scripted, messages, tmp_path, monkeypatch):
    release, hanging = threading.Event(), threading.Event()

    def hang(step):
        hanging.set()
        release.wait(60)

    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(hang))
    scripted([0.1, 0.3, 0.2, 0.1])
    order = []
    model = YOLO(TINY, task="detect")
    model.add_callback("on_train_epoch_end", lambda trainer: order.append((trainer.epoch + 1, release.is_set())))
    attach(model, Mirror(f"faulty://{tmp_path}/store", finish_timeout=0.0), strict=True)
    folder = train(model, epochs=4)
    assert hanging.is_set()
    assert order == [(1, False), (2, False), (3, False), (4, False)]
    assert summary_of(folder)["status"] == "finished"
    said = [message for message in messages if message.startswith("Mirror: ")]
    assert len(said) == 1
    assert "after 0 s a copy" in said[0]
    assert len(list(folder.glob(".mirror.*.tmp"))) == 1  # that of the copy that hangs: those that waited are removed
    release.set()
    for thread in threading.enumerate():
        if thread.name == "yolo-callbacks-mirror":
            thread.join()
    assert copies(f"{tmp_path}/store") == []
    assert not list(folder.glob(".*"))


@pytest.mark.usefixtures("no_slurm")
def test_the_end_leaves_time_before_a_scheduler_ends_the_process(train, scripted, memory, monkeypatch):
    """The clock stands, so that the whole grace is left at the end of the run."""
    clock = SimpleNamespace(monotonic=lambda: 1000.0, time=time.time, sleep=time.sleep)
    for module in ("callbacks.preemption", "callbacks.mirror", "utils.signals", "trainer.training_run"):
        monkeypatch.setattr(f"yolo_callbacks.{module}.time", clock)
    waited: list[float] = []
    wait = uploads.Uploader.wait

    def noted(self, seconds):
        waited.append(seconds)
        return wait(self, seconds)

    class Sender(Callback):
        def on_train_batch_end(self, trainer):
            if trainer.epoch == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(uploads.Uploader, "wait", noted)
    scripted([0.1, 0.3, 0.2])
    model = YOLO(TINY, task="detect")
    attach(model, Sender(), Preemption(grace=20), Mirror(memory), strict=True)
    train(model, epochs=3)
    assert set(waited) == {15.0}
    assert copies(memory)[0].epoch == 2


def test_a_newer_epoch_replaces_one_that_waits(tmp_path, monkeypatch):
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    (run / "weights" / "last.pt").write_bytes(b"weights")
    started, release = threading.Event(), threading.Event()

    def hold(step):
        started.set()
        release.wait(60)

    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(hold))
    uploader = uploads.Uploader(MirrorStore(f"faulty://{tmp_path}/store", {}), "run-0123456789abcdef")
    uploader.submit(uploads.Snapshot.take(run, 1, finished=False))
    assert started.wait(60)
    for epoch in (2, 3, 4):
        uploader.submit(uploads.Snapshot.take(run, epoch, finished=False))
    assert len(list(run.glob(".mirror.*"))) == 2
    assert not uploader.wait(0)
    release.set()
    assert uploader.wait(60)
    assert uploader.copied_epochs == [1, 4]
    assert not list(run.glob(".mirror.*"))


def test_a_failed_step_is_tried_again(tmp_path, monkeypatch):
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    (run / "weights" / "last.pt").write_bytes(b"weights")
    store, key = MirrorStore(f"faulty://{tmp_path}/store", {}), "run-0123456789abcdef"
    count = 0

    def counted(step):
        nonlocal count
        count += 1
        if count == fails_at:
            raise OSError("a step fails")

    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(counted))
    fails_at = 0
    store.write(run, key=key, epoch=1, finished=False)
    total = count
    assert total > 10
    for fails_at in range(1, total + 1):
        count = 0
        uploader = uploads.Uploader(store, key, delays=(0.0,))
        (run / "weights" / "last.pt").write_bytes(b"weights of %d" % fails_at)
        uploader.submit(uploads.Snapshot.take(run, fails_at + 1, finished=False))
        assert uploader.wait(60)
        assert uploader.copied_epochs == [fails_at + 1]
        assert next(store.copies()).epoch == fails_at + 1
        store.download(next(store.copies()), tmp_path / f"back{fails_at}")
        assert (tmp_path / f"back{fails_at}" / "weights" / "last.pt").read_bytes() == b"weights of %d" % fails_at
    store.write(run, key=key, epoch=99, finished=False)
    assert len(list((tmp_path / "store" / key / "copies").iterdir())) == 2


def test_a_file_that_is_written_in_place_makes_no_copy(tmp_path, monkeypatch):
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    last = run / "weights" / "last.pt"
    last.write_bytes(b"weights")

    def overwrite(step):
        if step == "half of last.pt":
            last.write_bytes(b"other weights")

    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(overwrite))
    uploader = uploads.Uploader(MirrorStore(f"faulty://{tmp_path}/store", {}), "run-0123456789abcdef", delays=())
    uploader.submit(uploads.Snapshot.take(run, 1, finished=False))
    assert uploader.wait(60)
    assert uploader.failed_epochs == [1]
    assert "last.pt was written while it was copied" in str(uploader.error)
    assert copies(f"{tmp_path}/store") == []


def test_an_interrupted_run_leaves_a_copy_that_can_be_resumed(train, scripted, memory, tmp_path):
    scripted([0.1, 0.2, 0.3])
    model = YOLO(TINY, task="detect")
    attach(model, SaveBest("mAP50"), Mirror(memory), strict=True)
    interrupted(train, model, 2, epochs=3)
    copy = copies(memory)[0]
    assert (copy.epoch, copy.finished) == (2, False)
    MirrorStore(memory, {}).download(copy, tmp_path / "back")
    assert torch.load(tmp_path / "back" / "weights" / "last.pt", weights_only=False)["optimizer"] is not None


def test_without_checkpoints_nothing_is_copied(train, scripted, memory):
    scripted([0.1, 0.2])
    model = YOLO(TINY, task="detect")
    mirror = Mirror(memory)
    attach(model, mirror, strict=True)
    train(model, epochs=2, save=False)
    assert set(mirror.copied_epochs) == {2}  # Ultralytics writes the last one


def test_it_can_be_pickled_after_a_training(train, scripted, memory):
    scripted([0.1])
    model = YOLO(TINY, task="detect")
    mirror = Mirror(memory)
    attach(model, mirror, strict=True)
    train(model, epochs=1)
    assert pickle.loads(pickle.dumps(mirror)).copied_epochs == mirror.copied_epochs
