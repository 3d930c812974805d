"""Read a report page back: its sections, charts, rows, links and text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = frozenset({"meta", "link", "input", "img", "br"})


class Page(HTMLParser):
    """Parse a page as a browser does: its elements, its text, and the rows of its tables by their first cell."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sections: list[str] = []
        self.charts: dict[str, dict[str, Any]] = {}
        self.links: list[str] = []
        self.ids: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.unclosed: list[str] = []
        self.wrong: list[str] = []
        self.text = ""
        self._row: list[str] = []
        self._chart: dict[str, Any] | None = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [value for name, value in given.items() if name == "id" and value]
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag in ("tr", "div"):
            self._row = []
        if tag in ("td", "th", "dt", "dd"):
            self._row.append("")
        if tag == "section":
            self.sections.append(given["id"])
        if tag == "figure" and "data-chart" in given:
            self._chart = json.loads(given["data-chart"])
        if "aria-label" in given and self._chart is not None:
            self.charts[given["aria-label"].partition(" by epoch")[0]] = self._chart
        self.links += [value for name, value in given.items() if name in ("src", "href", "xlink:href") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.unclosed or self.unclosed.pop() != tag:
            self.wrong.append(tag)
        if tag in ("tr", "div") and self._row:
            name, *values = (" ".join(text.split()) for text in self._row)
            self.rows.setdefault(name, []).append(values)
            self._row = []

    def handle_data(self, data: str) -> None:
        if self._row:
            self._row[-1] += data
        if self.tags[-1:] not in (["style"], ["script"]):
            self.text += data

    def values(self, chart: str, line: str) -> list[str]:
        (found,) = [each["values"] for each in self.charts[chart]["lines"] if each["label"] == line]
        return found
