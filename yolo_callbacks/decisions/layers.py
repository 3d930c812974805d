"""Decide which layers of a model are trained after how many epochs, and with which share of the learning rate."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

__all__ = ["LayerRange", "LayerSchedule", "ModelParts", "RateFactors"]

_PARTS = ("backbone", "neck", "head")
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
_FORMS = "'backbone', 'neck', 'head', 'all', a layer such as 9, or layers such as '0-9'"


@dataclass(frozen=True)
class ModelParts:
    """The layers of a model, which Ultralytics numbers from 0.

    Args:
        count: The number of layers.
        backbone: The number of layers of the backbone, which comes first. The last layer is the head, and the layers
            between them are the neck. None if the model does not say where its backbone ends.
    """

    count: int
    backbone: int | None

    @property
    def ranges(self) -> dict[str, range]:
        """The layers of each part that this model has, by the name of the part."""
        if self.backbone is None:
            return {}
        limits = {
            "backbone": range(min(self.backbone, self.count - 1)),
            "neck": range(self.backbone, self.count - 1),
            "head": range(self.count - 1, self.count),
        }
        return {name: layers for name, layers in limits.items() if layers}

    def describe(self, layers: Iterable[int]) -> str:
        """Return layers in words: whole parts by name, other layers by number."""
        left = set(layers)
        if left == set(range(self.count)):
            return "all layers"
        words = []
        for name, part in self.ranges.items():
            if left.issuperset(part):
                words.append(name)
                left.difference_update(part)
        numbers = _spans(sorted(left))
        if numbers:
            words.append(f"{'layer' if len(left) == 1 else 'layers'} {', '.join(numbers)}")
        return ", ".join(words) or "no layer"


@dataclass(frozen=True)
class LayerRange:
    """Some layers, as users name them.

    Attributes:
        name: The name of a part, or `"all"`; empty where the layers have numbers.
        first: The number of the first layer.
        last: The number of the last layer.
    """

    name: str
    first: int = 0
    last: int = 0

    @classmethod
    def read(cls, argument: str, given: object, where: str = "") -> LayerRange:
        """Read a name, a number or a range such as `"0-9"`.

        Args:
            argument: The name of the argument, for the message.
            given: What the user has given.
            where: Where in the argument it stands, for the message. Defaults to `""`.

        Raises:
            TypeError: If it is no string and no integer.
            ValueError: If it names no layers.
        """
        if isinstance(given, bool) or not isinstance(given, (str, Integral)):
            raise TypeError(f"{argument} must name layers by {_FORMS}, received {given!r}{where}")
        text = str(given).strip()
        if text in (*_PARTS, "all"):
            return cls(text)
        found = _RANGE.fullmatch(text)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            near = get_close_matches(text.lower(), (*_PARTS, "all"), n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{argument} must name layers by {_FORMS}, received {given!r}{where}{hint}")
        return cls("", int(found[1]), int(found[2] or found[1]))

    def layers(self, model: ModelParts) -> range:
        """Return the numbers of the layers in a model.

        Raises:
            ValueError: If the model has no such layers.
        """
        if self.name == "all":
            return range(model.count)
        if self.name:
            if self.name not in model.ranges:
                there = ", ".join(f"{name} ({_span(part)})" for name, part in model.ranges.items())
                there = there or f"layers 0-{model.count - 1}, without names"
                raise ValueError(f"this model has no {self.name}, it has {there}")
            return model.ranges[self.name]
        if self.last >= model.count:
            raise ValueError(f"this model has no layer {self.last}, its layers are 0-{model.count - 1}")
        return range(self.first, self.last + 1)


class LayerSchedule:
    """Decide by the number of epochs that are done which layers are trained.

    Each entry adds layers to those that are trained already, or takes them away where its name begins with `-`. The
    answer depends on nothing but the number of epochs, so a resumed run needs no state.

    Args:
        schedule: What changes after how many epochs: a name of layers, or several.

    Raises:
        TypeError: If it is no mapping of integers to names of layers.
        ValueError: If it does not begin with 0, or a name means no layers.
    """

    def __init__(self, schedule: object) -> None:
        if not isinstance(schedule, Mapping):
            raise TypeError(f"schedule must be a mapping such as {{0: 'head', 5: 'all'}}, received {schedule!r}")
        self._entries = {_read_epoch(epoch): _read_changes(epoch, given) for epoch, given in schedule.items()}
        if 0 not in self._entries:
            raise ValueError(f"schedule must have an entry for 0, what is trained at first, received {schedule!r}")

    @property
    def epochs(self) -> list[int]:
        """After how many epochs something changes, in order, beginning with 0."""
        return sorted(self._entries)

    def trained(self, done: int, model: ModelParts) -> frozenset[int]:
        """Return the numbers of the layers that are trained after a number of epochs.

        Raises:
            ValueError: If the model has no such layers.
        """
        layers: set[int] = set()
        for epoch in self.epochs:
            if epoch > done:
                break
            for frees, named in self._entries[epoch]:
                (layers.update if frees else layers.difference_update)(named.layers(model))
        return frozenset(layers)

    def trained_before(self, done: int, model: ModelParts) -> frozenset[int]:
        """Return the layers that were trained in any of the epochs up to the next one."""
        stages = (self.trained(epoch, model) for epoch in self.epochs if epoch <= done)
        return frozenset().union(*stages)


class RateFactors:
    """Decide which share of the learning rate a layer is trained with.

    Args:
        factors: A number for all layers that are not trained from the start, or a factor by name of layers, of which a
            later one replaces an earlier one. None for 1.0 everywhere.

    Raises:
        TypeError: If it is neither, or a factor is no number.
        ValueError: If a factor is not above 0 and finite, or a name means no layers.
    """

    def __init__(self, factors: object) -> None:
        self._for_freed: float | None = None
        self._named: list[tuple[LayerRange, float]] = []
        if isinstance(factors, Mapping):
            self._named = [
                (LayerRange.read("lr_scale", name), _read_factor(factor, f" for {name!r}"))
                for name, factor in factors.items()
            ]
        elif factors is not None:
            self._for_freed = _read_factor(factors)

    def of_layers(self, schedule: LayerSchedule, model: ModelParts) -> dict[int, float]:
        """Return the factor of each layer whose factor is not 1.0.

        Raises:
            ValueError: If the model has no such layers.
        """
        factors: dict[int, float] = {}
        if self._for_freed is not None:
            first = schedule.trained(0, model)
            factors = {layer: self._for_freed for layer in range(model.count) if layer not in first}
        for named, factor in self._named:
            factors |= dict.fromkeys(named.layers(model), factor)
        return {layer: factor for layer, factor in factors.items() if factor != 1.0}


def _read_epoch(epoch: object) -> int:
    if isinstance(epoch, bool) or not isinstance(epoch, Integral):
        raise TypeError(f"schedule must have numbers of epochs as keys, received {epoch!r}")
    if epoch < 0:
        raise ValueError(f"schedule must have numbers of epochs of at least 0, received {epoch!r}")
    return int(epoch)


def _read_changes(epoch: object, given: Any) -> list[tuple[bool, LayerRange]]:
    """Return the layers of an entry, each with whether it is trained from then on."""
    where = f" for {epoch}"
    several = given if isinstance(given, Sequence) and not isinstance(given, (str, bytes)) else [given]
    if not several:
        raise ValueError(f"schedule must name layers by {_FORMS}, received {given!r}{where}")
    changes = []
    for each in several:
        freezes = isinstance(each, str) and each.strip().startswith("-")
        changes.append((not freezes, LayerRange.read("schedule", each.strip()[1:] if freezes else each, where)))
    return changes


def _read_factor(factor: object, where: str = "") -> float:
    if isinstance(factor, bool) or not isinstance(factor, Real):
        raise TypeError(f"lr_scale must be a number, received {factor!r}{where}")
    if not 0.0 < float(factor) < math.inf:
        raise ValueError(f"lr_scale must be finite and above 0, received {factor!r}{where}")
    return float(factor)


def _spans(numbers: Sequence[int]) -> list[str]:
    """Return sorted numbers as spans such as `0-9`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return [_span(each) for each in spans]


def _span(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
