"""Files that are written whole or not at all, and read without trust."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from yolo_callbacks.utils.files import (
    LOGGER,
    append_line,
    copy_atomic,
    has_room,
    plain,
    read_json,
    remove_temporary_files,
    replace_atomic,
    set_aside,
    temporary_beside,
    write_json,
)


@pytest.fixture
def log(caplog, monkeypatch):
    """Collect the log messages, also if Ultralytics' logger passes no messages on."""
    monkeypatch.setattr(LOGGER, "propagate", False)
    monkeypatch.setattr(LOGGER, "level", logging.DEBUG)
    LOGGER.addHandler(caplog.handler)
    yield caplog
    LOGGER.removeHandler(caplog.handler)


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


# Writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [None, "old"])
def test_replace_atomic_writes_beside_and_renames(tmp_path, old):
    path = tmp_path / "file.txt"
    if old:
        path.write_text(old)
    seen = []

    def write(temporary):
        temporary.write_text("new")
        seen.append((temporary.parent, temporary != path, path.read_text() if path.exists() else None))

    replace_atomic(path, write)
    assert seen == [(tmp_path, True, old)]
    assert path.read_text() == "new"
    assert listing(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("written", ["", "half of it"])
@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, "old"])
def test_replace_atomic_keeps_the_old_file_when_the_writer_fails(tmp_path, old, error, written):
    path = tmp_path / "file.txt"
    if old:
        path.write_text(old)

    def write(temporary):
        if written:
            temporary.write_text(written)
        raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        replace_atomic(path, write)
    assert listing(tmp_path) == (["file.txt"] if old else [])
    assert not old or path.read_text() == old


def test_replace_atomic_fails_where_there_is_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        replace_atomic(tmp_path / "nowhere" / "file.txt", lambda temporary: temporary.write_text("new"))
    assert listing(tmp_path) == []


def test_temporary_names_are_never_the_same_and_what_a_kill_left_is_removed(tmp_path):
    path, used = tmp_path / "file.txt", []

    def write(temporary):
        used.append(temporary)
        temporary.write_text("new")

    replace_atomic(path, write)
    replace_atomic(path, write)
    assert used[0] != used[1]
    used[0].write_text("half of a text, cut of")  # a kill leaves it: no `except` runs
    (temporary_beside(tmp_path / "checkpoints") / "inner").mkdir(parents=True)
    theirs = (".file.txt.tmp", ".x.0123.tmp", "file.0123456789abcdef.tmp", ".y.0123456789ABCDEF.tmp")
    for name in theirs:
        (tmp_path / name).write_text("of somebody else")
    link = tmp_path / ".link.0123456789abcdef.tmp"
    link.symlink_to(path)
    remove_temporary_files(tmp_path)
    assert listing(tmp_path) == sorted(["file.txt", link.name, *theirs])
    remove_temporary_files(tmp_path / "nowhere")


def test_no_symbolic_link_is_followed(tmp_path, monkeypatch):
    """Somebody who can write to the folder puts a link where the temporary file, or the file itself, will be."""
    victim, path = tmp_path / "victim", tmp_path / "file.txt"
    victim.write_text("precious")
    planted = tmp_path / f".file.txt.{'ab' * 8}.tmp"
    planted.symlink_to(victim)
    monkeypatch.setattr("secrets.token_hex", lambda size: "ab" * size)
    with pytest.raises(FileExistsError):
        replace_atomic(path, lambda temporary: temporary.write_text("new"))
    planted.unlink(missing_ok=True)
    path.symlink_to(victim)
    with pytest.raises(OSError, match=r"file\.txt"):
        append_line(path, "a line")
    replace_atomic(path, lambda temporary: temporary.write_text("new"))
    assert not path.is_symlink()
    assert victim.read_text() == "precious"


def test_a_line_is_not_appended_to_a_pipe_that_nobody_reads(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        append_line(tmp_path / "pipe", "a line")


def test_a_new_file_has_the_usual_permissions(tmp_path):
    usual = tmp_path / "usual"
    usual.write_text("")
    replace_atomic(tmp_path / "file.txt", lambda temporary: temporary.write_text("new"))
    assert (tmp_path / "file.txt").stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_copy_atomic_is_a_copy_and_no_link(tmp_path, exists, linked):
    source, target = tmp_path / "last.pt", tmp_path / "best.pt"
    source.write_bytes(b"\x00\xffweights" * 1000)
    if exists:
        target.write_bytes(b"old")
    named = source
    if linked:
        named = tmp_path / "link.pt"
        named.symlink_to(source)
    copy_atomic(named, target)
    assert not target.is_symlink()
    assert not target.samefile(source)
    with source.open("r+b") as stream:  # the way Ultralytics writes last.pt
        stream.write(b"the next epoch")
    assert target.read_bytes() == b"\x00\xffweights" * 1000
    assert len(listing(tmp_path)) == 2 + linked


def test_copy_atomic_without_a_source_keeps_the_target(tmp_path):
    target = tmp_path / "best.pt"
    target.write_bytes(b"old")
    with pytest.raises(FileNotFoundError, match=r"last\.pt"):
        copy_atomic(tmp_path / "last.pt", target)
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == ["best.pt"]


@pytest.mark.parametrize(
    ("free", "size", "expected"),
    [
        (300, 100, True),  # the copy, and room for two checkpoints more
        (299, 100, False),
        (10_000, 100, True),
        (200, 100, False),
        (0, 100, False),
        (0, 0, True),
    ],
)
def test_has_room(tmp_path, monkeypatch, free, size, expected):
    usage = namedtuple("usage", "total used free")(10**6, 10**6 - free, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: {tmp_path: usage}[folder])
    assert has_room(tmp_path, size) is expected


def test_has_room_on_the_real_disk(tmp_path):
    assert has_room(tmp_path, 1)
    assert not has_room(tmp_path, 2**70)


# JSON -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, {}),
        ({"epoch": 3, "value": 0.5, "mode": "max", "none": None, "on": True}, None),
        ({"name": 'größe "é" \n 数'}, None),
        ({"small": 5e-324, "third": 1 / 3, "large": 1.7976931348623157e308}, None),
        ({"value": math.nan}, {"value": None}),
        ({"value": math.inf, "other": -math.inf}, {"value": None, "other": None}),
        ({"a": {"b": [1.0, math.nan, [math.inf]]}}, {"a": {"b": [1.0, None, [None]]}}),
        ({"pair": (1, math.nan)}, {"pair": [1, None]}),
        ({"per_class": {0: 0.5, 7: math.nan}}, {"per_class": {"0": 0.5, "7": None}}),
    ],
)
def test_json_comes_back(tmp_path, content, expected):
    path = tmp_path / "callbacks.json"
    write_json(path, content)
    assert read_json(path) == (content if expected is None else expected)
    assert listing(tmp_path) == ["callbacks.json"]

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "plain_value"), [(np.float32(0.5), 0.5), (np.int64(3), 3), ([np.float64("nan")], [None]), (True, True)]
)
def test_numbers_of_other_libraries_become_those_of_python(value, plain_value):
    made = plain({"a": value})["a"]
    assert made == plain_value
    assert type(made) is type(plain_value)


def test_a_value_that_json_cannot_hold_is_named():
    with pytest.raises(TypeError, match="'seen' is of type set, which JSON cannot hold: use str, int"):
        plain({"a": {"seen": {1}}})


def test_write_json_keeps_the_old_file_where_the_content_cannot_be_written(tmp_path):
    path = tmp_path / "callbacks.json"
    write_json(path, {"epoch": 1})
    with pytest.raises(TypeError, match="which JSON cannot hold"):
        write_json(path, {"epoch": object()})
    assert read_json(path) == {"epoch": 1}
    assert listing(tmp_path) == ["callbacks.json"]


def test_read_json_of_a_missing_file(tmp_path, log):
    assert read_json(tmp_path / "callbacks.json") is None
    assert read_json(tmp_path / "nowhere" / "callbacks.json") is None
    assert log.messages == []
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"schema": 1, "callb', "Unterminated string"),
        (b'{"schema": 1} trailing', "Extra data"),
        (b"\x00" * 64, "Expecting value"),
        (b'{"name": "\xff\xfe"}', "codec can't decode"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b"3", "expected a JSON object, found int"),
        (b"null", "expected a JSON object, found NoneType"),
    ],
)
def test_read_json_keeps_a_broken_file_aside(tmp_path, log, broken, reason):
    path = tmp_path / "callbacks.json"
    path.write_bytes(broken)
    assert read_json(path) is None
    assert listing(tmp_path) == ["callbacks.json.corrupt"]
    assert (tmp_path / "callbacks.json.corrupt").read_bytes() == broken
    assert [record.levelname for record in log.records] == ["WARNING"]
    assert str(path) in log.text
    assert reason in log.text
    assert "kept as callbacks.json.corrupt" in log.text
    assert read_json(path) is None  # and now it is missing, no more
    assert len(log.records) == 1


def test_a_broken_file_never_replaces_one_that_was_kept_before(tmp_path, log):
    path = tmp_path / "callbacks.json"
    for broken in ("first", "second", "third"):
        path.write_text(broken)
        assert read_json(path) is None
    kept = {name: (tmp_path / name).read_text() for name in listing(tmp_path)}
    assert kept == {
        "callbacks.json.2.corrupt": "second",
        "callbacks.json.3.corrupt": "third",
        "callbacks.json.corrupt": "first",
    }
    assert len(log.records) == 3


def test_a_copy_is_set_aside_once(tmp_path):
    path = tmp_path / "callbacks.json"
    path.write_text("first")
    assert [set_aside(path, copy=True) for _ in range(2)] == [" and is kept as callbacks.json.corrupt"] * 2
    path.write_text("second")
    assert set_aside(path, copy=True) == " and is kept as callbacks.json.2.corrupt"
    assert listing(tmp_path) == ["callbacks.json", "callbacks.json.2.corrupt", "callbacks.json.corrupt"]
    assert set_aside(tmp_path / "missing.json") == ""


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_read_json_of_what_is_no_file(tmp_path, log, kind):
    path = tmp_path / "callbacks.json"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert read_json(path) is None
    assert [record.levelname for record in log.records] == ["WARNING"]
    assert listing(tmp_path) == ["callbacks.json.corrupt"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"epoch": ' + "9" * 5000 + "}"])
def test_read_json_of_values_without_measure(tmp_path, log, text):
    path = tmp_path / "callbacks.json"
    path.write_text(text)
    assert read_json(path) is None
    assert listing(tmp_path) == ["callbacks.json.corrupt"]
    assert "Traceback" not in log.text


def test_read_json_goes_on_where_a_broken_file_cannot_be_moved(tmp_path, log, monkeypatch):
    path = tmp_path / "callbacks.json"
    path.write_text("broken")

    def refuse(*_):
        raise PermissionError("a folder that cannot be written")

    monkeypatch.setattr(Path, "replace", refuse)
    assert read_json(path) is None
    assert path.read_text() == "broken"
    assert "or set aside (a folder that cannot be written)" in log.text


def test_the_logger_is_below_that_of_ultralytics():
    assert LOGGER.name.startswith("ultralytics.")
