"""Choose the images of the gallery: those that fail most and those with suspected labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.failing_parts.marks import KINDS, Mark, counts_of, marks_of_images
from yolo_callbacks.report.failures import confusions
from yolo_callbacks.report.pictures import Album
from yolo_callbacks.report.run_data import RunData
from yolo_callbacks.utils.lenient import as_list, as_mapping, as_number, as_text, epoch_of

__all__ = ["FailingPicture", "Frame", "Gallery", "gallery"]

_MAX_PICTURES = 24
_MAX_NAMES = 200  # of images that flip in one epoch
_MAX_CONFUSIONS = 10
_MAX_TAGS = 8
_MAX_SIDE = 480
_TAG_HEIGHT, _TAG_LETTER = 7.0, 2.2  # percent of the picture that a label is high, and one letter of it wide


@dataclass(frozen=True)
class Frame:
    """A mark over a picture.

    Attributes:
        kind: `"fp"`, `"fn"` or `"suspect"`.
        label: The class, with the confidence of a prediction or the kind of suspicion.
        edges: Left, top, width and height in percent of the picture; None where the whole image is meant.
    """

    kind: str
    label: str
    edges: tuple[float, ...] | None

    @classmethod
    def of(cls, mark: Mark) -> Frame:
        """Return the frame of a mark."""
        if mark.edges is None:
            return cls(mark.kind, mark.label, None)
        left, top, right, bottom = mark.edges
        return cls(
            mark.kind, mark.label, tuple(round(100 * side, 2) for side in (left, top, right - left, bottom - top))
        )


@dataclass(frozen=True)
class FailingPicture:
    """An image of the gallery.

    Attributes:
        name: The path of the image in the data set.
        url: The content as a `data:` URL.
        counts: What is right and wrong, in words.
        marks: What is wrong.
        classes: The classes of the marks.
        history: The points of a line of the F1 over epochs, for SVG; `""` for fewer than two epochs.
    """

    name: str
    url: str
    counts: str
    marks: tuple[Frame, ...]
    classes: tuple[str, ...]
    history: str

    @property
    def tags(self) -> tuple[Frame, ...]:
        """The marks whose label is shown: none that would cover another label, and not too many."""
        shown: list[Frame] = []
        for mark in self.marks:
            if mark.edges and len(shown) < _MAX_TAGS and not any(_labels_overlap(mark, other) for other in shown):
                shown.append(mark)
        return tuple(shown)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the marks."""
        return tuple(dict.fromkeys(mark.kind for mark in self.marks))


@dataclass
class Gallery:
    """The gallery of a run.

    Attributes:
        caption: What the counts are of.
        of_epoch: Whether they are of an epoch, and not of the final evaluation.
        failing: How many images are not right.
        compared: How many images were compared.
        pictures: The images.
        classes: The classes of all marks.
        kinds: The kinds of all marks, in words.
        flips: The images that flipped, by epoch, as JSON for the page; `""` if there are none.
        left_out: How many images that fail have no picture here.
        confusions: How often objects of one class are taken for another one, in words.
    """

    caption: str = ""
    of_epoch: bool = False
    failing: int = 0
    compared: int = 0
    pictures: list[FailingPicture] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    flips: str = ""
    left_out: int = 0
    confusions: list[str] = field(default_factory=list)


def gallery(run: RunData, album: Album) -> Gallery | None:
    """Return the gallery of a run, None where nothing was compared."""
    if not run.failures:
        return None
    line = run.failures[-1]
    epochs = {epoch: each for each in run.failures if (epoch := epoch_of(each.get("epoch"))) is not None}
    root = Path(as_text(line.get("root")))
    chosen = dict(marks_of_images(line))
    pictures: list[FailingPicture] = []
    for name, marks in chosen.items():
        if len(pictures) >= _MAX_PICTURES:
            break
        url = album.url(root / name, max_side=_MAX_SIDE)
        if url:
            image = as_mapping(as_mapping(line.get("images")).get(name))
            classes, frames = tuple(dict.fromkeys(mark.name for mark in marks)), tuple(map(Frame.of, marks))
            pictures.append(FailingPicture(name, url, _counts(image), frames, classes, _history(name, epochs)))
    kinds = {kind for picture in pictures for kind in picture.kinds}
    flips = {epoch: list(map(as_text, as_list(each.get("flips"))))[:_MAX_NAMES] for epoch, each in epochs.items()}
    images = list(map(as_mapping, as_mapping(line.get("images")).values()))
    return Gallery(
        caption=_caption(line),
        of_epoch=epoch_of(line.get("epoch")) is not None,
        failing=sum(image.get("right") is not True for image in images),
        compared=len(images),
        pictures=pictures,
        classes=sorted({name for picture in pictures for name in picture.classes}),
        kinds={kind: word for kind, word in KINDS.items() if kind in kinds},
        flips=json.dumps(flips) if any(flips.values()) else "",
        left_out=len(chosen) - len(pictures),
        confusions=confusions(line, _MAX_CONFUSIONS),
    )


def _labels_overlap(mark: Frame, other: Frame) -> bool:
    """Return whether the labels of two marks would cover each other, in a picture as narrow as on a phone."""
    if mark.edges is None or other.edges is None:
        return False
    (left, top, *_), (other_left, other_top, *_) = mark.edges, other.edges
    before = mark if left <= other_left else other
    return abs(top - other_top) < _TAG_HEIGHT and abs(left - other_left) < _TAG_LETTER * len(before.label)


def _counts(image: Mapping[str, Any]) -> str:
    right, wrong, missed = counts_of(image)
    return f"{right} right, {wrong} false, {missed} missed"


def _caption(line: Mapping[str, Any]) -> str:
    epoch, confidence = epoch_of(line.get("epoch")), as_number(line.get("confidence"))
    when = "the final evaluation" if epoch is None else f"the validation of epoch {epoch}"
    return f"{when}{'' if confidence is None else f', at confidence {confidence:.3g}'}"


def _history(name: str, epochs: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the F1 of an image over epochs as points in a box of 100 by 20, the best value at the top."""
    images = {epoch: as_mapping(line.get("images")) for epoch, line in epochs.items()}
    values = {epoch: as_number(as_mapping(each.get(name)).get("f1")) for epoch, each in images.items()}
    known = {epoch: value for epoch, value in sorted(values.items()) if value is not None and 0 <= value <= 1}
    if len(known) < 2:
        return ""
    first, last = min(known), max(known)
    across = {epoch: 100 * (epoch - first) / (last - first) for epoch in known}
    return " ".join(f"{across[epoch]:.1f},{19 - 18 * value:.1f}" for epoch, value in known.items())
