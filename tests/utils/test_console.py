"""Consoles of any encoding: what cannot be shown is replaced."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from yolo_callbacks.utils.console import FRESH_LINE, EncodableFilter, console_width, printable, wrapped
from yolo_callbacks.utils.files import LOGGER

CHINESE = "\N{CJK UNIFIED IDEOGRAPH-732B}"


def test_printable():
    ascii_stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert printable(f"a {CHINESE} \udcff", ascii_stream) == "a \\u732b \\udcff"
    assert printable(f"a {CHINESE}", io.StringIO()) == f"a {CHINESE}"
    assert printable("\udcff", io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) == "\\udcff"
    assert printable("\udcff", io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")) == "\udcff"


def test_the_logger_replaces_what_the_console_cannot_show(monkeypatch):
    assert any(isinstance(each, EncodableFilter) for each in LOGGER.filters)
    monkeypatch.setattr(FRESH_LINE, "bar_open", False)  # a training of another test may have left it open
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    handler = logging.StreamHandler(stream)
    LOGGER.addHandler(handler)
    try:
        LOGGER.warning("saved %s", CHINESE)
        try:
            raise ValueError(f"\udcff {CHINESE}")
        except ValueError as error:
            LOGGER.error("failed", exc_info=error)
    finally:
        LOGGER.removeHandler(handler)
    stream.flush()
    said = stream.buffer.getvalue().decode("cp1252")
    assert said.startswith("saved \\u732b\nfailed\nTraceback")
    assert "ValueError: \\udcff \\u732b" in said


def test_a_line_that_is_logged_beside_a_progress_bar_begins_on_a_line_of_its_own(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    handler = logging.StreamHandler(stream)
    LOGGER.addHandler(handler)
    monkeypatch.setattr(FRESH_LINE, "bar_open", True)
    try:
        stream.write("\r50%")
        LOGGER.warning("one")
        LOGGER.warning("two")
    finally:
        LOGGER.removeHandler(handler)
    assert stream.getvalue() == "\r50%\none\ntwo\n"


@pytest.mark.parametrize(("terminal", "width"), [(True, 72), (False, None)])
def test_only_a_terminal_has_a_width(monkeypatch, terminal, width):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "72")
    assert console_width() == width


def test_a_process_without_an_output_has_no_width(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert console_width() is None


def test_a_sentence_is_broken_between_its_parts():
    assert wrapped(["a:", "b c,", "d"], None) == "a: b c, d"
    assert wrapped(["a:", "b c,", "long part,", "d"], 12) == "a: b c,\n  long part,\n  d"


def test_the_message_of_an_error_that_ends_the_training_begins_on_a_line_of_its_own(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(FRESH_LINE, "bar_open", True)
    stream.write("\r50%")
    FRESH_LINE.begin_line()
    FRESH_LINE.begin_line()
    assert stream.getvalue() == "\r50%\n"
