"""Follow images over epochs: which are right, which were right before, and which are forgotten again and again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["RIGHT", "WRONG", "Changes", "ImageHistory"]

# An image becomes right from one F1 on and wrong below the other. Between them it stays what it was, so that an F1 that
# moves around one limit makes no flip in each epoch.
RIGHT, WRONG = 0.6, 0.4
_MIDDLE = 0.5


@dataclass(frozen=True)
class Changes:
    """The images that were right and are wrong now.

    Attributes:
        since_last: Those that were right in the last validation.
        since_best: Those that were right in the best epoch.
    """

    since_last: tuple[str, ...] = ()
    since_best: tuple[str, ...] = ()


@dataclass
class ImageHistory:
    """Remember which images are right, were right in the best epoch, and how often each was forgotten.

    Attributes:
        right: The images that are right.
        right_at_best: The images that were right in the best epoch.
        forgotten: How often each image was right and became wrong, without the images that never did (Toneva et al.,
            2019, https://arxiv.org/abs/1812.05159).
    """

    right: set[str] = field(default_factory=set)
    right_at_best: set[str] = field(default_factory=set)
    forgotten: dict[str, int] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    def update(self, values: Mapping[str, float], *, best: bool) -> Changes:
        """Take the F1 of each image in a validation.

        Args:
            values: F1 by image.
            best: Whether the epoch is the best so far.
        """
        before = self.right
        self.right = {name for name, value in values.items() if self._is_right(name, value)}
        self._known |= values.keys()
        wrong = values.keys() - self.right
        changes = Changes(tuple(sorted(before & wrong)), tuple(sorted(self.right_at_best & wrong)))
        for name in changes.since_last:
            self.forgotten[name] = self.forgotten.get(name, 0) + 1
        if best:
            self.right_at_best = set(self.right)
        return changes

    def right_alone(self, values: Mapping[str, float]) -> set[str]:
        """Return the images that are right in a validation that is no epoch, such as that of another checkpoint."""
        return {name for name, value in values.items() if value >= _MIDDLE}

    def restore(self, right: Collection[str], wrong: Collection[str], forgotten: Mapping[str, int]) -> None:
        """Take over what an earlier process has known."""
        self.right, self._known, self.forgotten = set(right), {*right, *wrong}, dict(forgotten)

    def _is_right(self, name: str, value: float) -> bool:
        if WRONG < value < RIGHT:
            return name in self.right if name in self._known else value >= _MIDDLE
        return value >= RIGHT
