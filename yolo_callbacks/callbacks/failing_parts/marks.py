"""Read from a line of `failures.jsonl` what is wrong in each image, for pictures of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from yolo_callbacks.utils.lenient import as_count, as_list, as_mapping, as_number, as_text

__all__ = ["KINDS", "Mark", "counts_of", "marks_of_images"]

KINDS = {"fp": "false positive", "fn": "missed", "suspect": "suspected label"}
"""The kinds of marks, in words."""


@dataclass(frozen=True)
class Mark:
    """Something wrong in an image.

    Attributes:
        kind: `"fp"`, `"fn"` or `"suspect"`.
        name: The class.
        remark: The confidence of a prediction, the kind of suspicion, or `""`.
        edges: Left, top, right and bottom of the box, as fractions of the image; None where the whole image is meant.
    """

    kind: str
    name: str
    remark: str
    edges: tuple[float, float, float, float] | None

    @property
    def label(self) -> str:
        """The class with the remark."""
        return f"{self.name} {self.remark}".strip()


def marks_of_images(line: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Mark, ...]]]:
    """Yield each image with what is wrong in it, the worst first, then those with suspected labels only.

    Args:
        line: The line, which may have any content: what is no mark is left out.
    """
    suspected: dict[str, list[Mark]] = {}
    for suspect in map(as_mapping, as_list(line.get("suspects"))):
        prediction = as_mapping(suspect.get("prediction"))
        mark = Mark("suspect", as_text(prediction.get("class")), as_text(suspect.get("kind")), _edges(prediction))
        suspected.setdefault(as_text(suspect.get("image")), []).append(mark)
    for image in map(as_mapping, as_list(line.get("worst"))):
        name = as_text(image.get("image"))
        marks = [_mark(as_mapping(wrong)) for wrong in as_list(image.get("wrong"))]
        yield name, (*marks, *suspected.pop(name, []))
    for name, labels in suspected.items():
        yield name, tuple(labels)


def counts_of(image: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return how many predictions of an image are right and wrong, and how many objects are missed."""
    right, wrong, missed = (as_count(image.get(name)) for name in ("tp", "fp", "fn"))
    return right, wrong, missed


def _mark(wrong: Mapping[str, Any]) -> Mark:
    confidence = as_number(wrong.get("confidence"))
    remark = "" if confidence is None else f"{confidence:.2f}"
    kind = "fp" if as_text(wrong.get("kind")) == "fp" else "fn"
    return Mark(kind, as_text(wrong.get("class")), remark, _edges(wrong))


def _edges(box: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    edges = [as_number(edge) for edge in as_list(box.get("box"))]
    numbers = [edge for edge in edges if edge is not None and math.isfinite(edge)]
    if len(numbers) != 4:
        return None
    left, top, right, bottom = numbers
    return left, top, max(left, right), max(top, bottom)
