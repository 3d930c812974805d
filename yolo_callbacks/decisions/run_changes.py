"""Read which changes of a running training are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

__all__ = ["KEYS", "RunChanges"]

KEYS = ("stop", "save", "patience", "lr-scale")
"""The names of the changes, in a file and in the command."""


@dataclass(frozen=True)
class RunChanges:
    """Changes of a running training.

    Attributes:
        stop: Whether to end it with this epoch.
        save: Whether to keep a copy of the checkpoint of this epoch.
        patience: The new patience of every stopper, 0 for never; None leaves it.
        lr_scale: The factor of the learning rate from the next epoch on; None leaves it.
    """

    stop: bool = False
    save: bool = False
    patience: int | None = None
    lr_scale: float | None = None

    @classmethod
    def of(cls, content: object) -> RunChanges:
        """Read changes.

        Args:
            content: A mapping with some of `KEYS`, as from a YAML file.

        Raises:
            ValueError: If it is no such mapping.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"expected some of {', '.join(KEYS)}, each with a value, found {content!r}")
        found = cls()
        for key, value in content.items():
            name = str(key).replace("_", "-")
            if name not in KEYS:
                near = get_close_matches(name, KEYS, n=1)
                meant = f", did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"there is no change {key!r}{meant} (there are {', '.join(KEYS)})")
            if name == "patience":
                found = replace(found, patience=_patience(value))
            elif name == "lr-scale":
                found = replace(found, lr_scale=_factor(value))
            elif not isinstance(value, bool):
                raise ValueError(f"{name} must be true or false, received {value!r}")
            else:
                found = replace(found, **{name: value})
        return found

    def merged(self, later: RunChanges) -> RunChanges:
        """Return both changes; of two values the later one."""
        return RunChanges(
            stop=self.stop or later.stop,
            save=self.save or later.save,
            patience=self.patience if later.patience is None else later.patience,
            lr_scale=self.lr_scale if later.lr_scale is None else later.lr_scale,
        )

    def items(self) -> Iterator[tuple[str, bool | int | float]]:
        """Yield the name and the value of each change."""
        for name, value in zip(KEYS, (self.stop, self.save, self.patience, self.lr_scale), strict=True):
            if value is not None and value is not False:
                yield name, value


def _patience(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"patience must be an integer from 0, received {value!r}")
    return value


def _factor(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value <= 1.0:
        raise ValueError(f"lr-scale must be above 0 and at most 1, received {value!r}")
    return float(value)
