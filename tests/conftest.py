"""Marks by folder, and what the library says. Neither torch nor Ultralytics is imported here: unit tests do without."""

from __future__ import annotations

import gc
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import isolation  # noqa: F401 (before ultralytics)
import pytest

import examples  # noqa: F401 (the profiles of Hypothesis)

pytest_plugins = ["training_fixtures"]

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, before `-m` selects."""
    for item in items:
        folders = item.path.relative_to(HERE).parent.parts if item.path.is_relative_to(HERE) else ()
        if folders[:2] == ("training", "server"):
            item.add_marker("server")
        elif folders[:1] == ("training",):
            item.add_marker("training")
        elif folders[:1] == ("slow",) and not item.get_closest_marker("sample"):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Keep what was imported out of garbage collections: Ultralytics collects at the end of every training."""
    if "torch" in sys.modules:
        import training_imports  # noqa: F401 (what the first training would import)
    gc.freeze()


@pytest.fixture(autouse=True)
def own_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore `sys.argv`, which `yolo-callbacks train` replaces for Ultralytics."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """Collect the messages of the library on Ultralytics' logger, with tracebacks; without those of every run.

    These are the line at the start and those of a new best. `tests/suite/test_messages.py` has their tests.
    """
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = logging.Formatter().format(record)
            if not re.match(r"Callbacks: .*; files in |SaveBest: best .* so far", text):
                said.append(text)

    logger = logging.getLogger("ultralytics.yolo_callbacks")
    handler = Collector()
    ultralytics = logging.getLogger("ultralytics")
    if ultralytics.level == logging.NOTSET:  # Ultralytics, which sets this level, is not imported
        ultralytics.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the trainings of `do_no_harm` took, and where a suite made a difference."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    rows = [row for report in reports for name, row in report.user_properties if name == "do no harm"]
    if rows:
        from do_no_harm.table import render

        terminalreporter.section("do no harm")
        terminalreporter.write_line(render(rows))
