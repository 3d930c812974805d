"""Write the line about a W&B run in the table at the end: where it is, what did not arrive, how to upload that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from yolo_callbacks.loggers.wandb_parts.arrival import ROWS

__all__ = ["Outcome"]


class Outcome:
    """Collect what of a run did not reach the server, and write the line about it.

    Each change is one operation on a dictionary: a thread that was left behind may still make one.

    Attributes:
        remedies: What the user can do about something that is missing and that `wandb sync` does not upload.
        unconfirmed: Whether nothing was refused, but the server did not confirm the last row.
    """

    def __init__(self) -> None:
        self.remedies: dict[str, str] = {}
        self.unconfirmed = False
        self._missing: dict[str, None] = {}
        self._dropped: dict[str, Counter[str]] = {}

    @property
    def missing(self) -> list[str]:
        """What is not uploaded, in the order in which it was named."""
        return list(self._missing)

    def drop(self, what: str, count: int = 1, *, because: str = "wandb was too slow") -> None:
        """Count something that was neither handed to wandb nor saved."""
        self._dropped.setdefault(because, Counter())[what] += count

    def add_missing(self, *names: str) -> None:
        """Name things as missing."""
        self._missing.update(dict.fromkeys(names))

    def add_arrived(self, name: str) -> None:
        """Name something as missing no longer."""
        self._missing.pop(name, None)

    def text(self, *, address: str | None, sync_command: str) -> str:
        """Return the line.

        Args:
            address: The address of the run, None where it is offline or was not opened.
            sync_command: The command that uploads the run.
        """
        parts = [f"not logged, {reason}: {_counted(counts)}" for reason, counts in self._dropped.items()]
        # `unconfirmed` is the weaker statement about rows: it replaces the other one
        missing = [name for name in self.missing if name != ROWS or not self.unconfirmed]
        if missing:
            parts.append(f"not uploaded: {', '.join(map(self._with_remedy, missing))}")
        if self.unconfirmed:
            parts.append(f"not confirmed by the server: {ROWS}")
        if address is None or self.missing or self.unconfirmed:
            parts.append(f"upload with: {sync_command}")
        else:
            parts.append(address)
        return "; ".join(parts)

    def _with_remedy(self, name: str) -> str:
        return f"{name} ({self.remedies[name]})" if name in self.remedies else name


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} ({count} x)" for what, count in counts.items())
