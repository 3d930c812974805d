"""Choose the epochs in which a callback runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["EpochFilter"]

_FORM = re.compile(r"\s*(?P<first>-?\d+)?\s*(?:(?P<colon>:)\s*(?P<last>-?\d+)?\s*)?")


@dataclass(frozen=True)
class EpochFilter:
    """A range of epochs, counted from 1, with both ends.

    Attributes:
        text: The range as it was written: `"10:50"`, `"10:"`, `":50"`, `"10"`, `"-10:"`.
        first: Its first epoch; a negative one counts from the end, so that -1 is the last epoch.
        last: Its last epoch, in the same way.
    """

    text: str
    first: int
    last: int

    @classmethod
    def of(cls, epochs: object) -> EpochFilter:
        """Read a range.

        Args:
            epochs: A text, or one epoch.

        Raises:
            TypeError: If it is neither a string nor an integer.
            ValueError: If it is no range of epochs.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, (str, int)):
            raise TypeError(f"epochs must be a string or an integer, received {epochs!r}")
        found = _FORM.fullmatch(str(epochs))
        first, colon, last = found.group("first", "colon", "last") if found else (None, None, None)
        if first is None and last is None:
            raise ValueError(
                f'epochs must be such as "10:50", "10:", ":50", "10" or "-10:" (both ends included, from 1), '
                f"received {epochs!r}"
            )
        begin = int(first) if first else 1
        end = int(last) if last else (-1 if colon else begin)
        if 0 in (begin, end):
            raise ValueError(f"epochs are counted from 1, received {epochs!r}")
        if end < begin and (begin < 0) == (end < 0):
            raise ValueError(f"epochs must not end before they begin, received {epochs!r}")
        return cls(str(epochs).strip(), begin, end)

    def matches(self, epoch: int, epochs: int) -> bool:
        """Return whether an epoch is in the range.

        Args:
            epoch: The epoch, counted from 1.
            epochs: The planned number of epochs; an epoch after it counts as the last one.
        """
        first, last = (edge if edge > 0 else epochs + 1 + edge for edge in (self.first, self.last))
        return first <= epoch <= last or (self.last == -1 and epoch >= max(first, epochs))

    def is_empty(self, epochs: int) -> bool:
        """Return whether a run of so many epochs has none of the range."""
        return not any(self.matches(epoch, epochs) for epoch in range(1, epochs + 1))
