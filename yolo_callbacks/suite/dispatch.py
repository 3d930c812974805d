"""Choose the callbacks that run at an event: in which order, and on which rank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from yolo_callbacks.callbacks.events import Event
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER

__all__ = ["CLOSING", "OUTSIDE_TRAINING", "Dispatcher"]

CLOSING = (Event.TRAIN_END, Event.TEARDOWN)
"""The events in which a callback closes what it has opened."""

OUTSIDE_TRAINING = ("on_predict", "on_export")
"""How the names of events begin that belong to no training."""


class Dispatcher:
    """Choose the callbacks that run at an event.

    Args:
        members: The callbacks, in the order in which they run.
    """

    def __init__(self, members: Sequence[GuardedCallback]) -> None:
        self.members = members
        self._listeners = {event.value: [each for each in members if event in each.events] for event in Event}

    def listeners(self, event: str, run: TrainingRun | None) -> list[GuardedCallback]:
        """List the callbacks that run at an event in this process.

        Args:
            event: The name of the event.
            run: The training; None for a prediction or an export outside a training.
        """
        if run and run.ended and event == Event.FIT_EPOCH_END and not run.final:
            return []  # a resumed run that was already over: this epoch is none of its epochs
        # A callback that is switched off may still have something open.
        closes = event in CLOSING
        found = [
            member
            for member in self._listeners[event]
            if not member.missed and (closes or not member.off) and (run is None or _runs_here(member, run))
        ]
        if run is not None and event.startswith("on_val"):  # a callback itself does not know the run in these events
            found = [member for member in found if not member.callback.rests(run)]
        return found

    def exclude_late(self, missed_events: Iterable[str], run: TrainingRun) -> None:
        """Exclude the callbacks from the run that were attached too late for an event that they need."""
        late: dict[str, list[str]] = {}
        for event in missed_events:
            for member in self._listeners[event]:
                if member.callback.needs_start and not member.missed and _runs_here(member, run):
                    member.missed = event
                    late.setdefault(event, []).append(member.name)
        if late:
            which = "; ".join(f"{' and '.join(names)} missed {event}" for event, names in late.items())
            LOGGER.warning(
                f"Callbacks were attached after the training had begun: {which}, and will do nothing in this run. "
                "Attach before model.train()"
            )

    def start_run(self, run: TrainingRun) -> None:
        """Reset every callback that has not seen this training yet."""
        for member in self.members:
            member.call("start_run", run.trainer)

    def finalize(self, run: TrainingRun) -> None:
        """Let the callbacks drop what they hold of the run."""
        for member in self.members:
            if not member.missed and _runs_here(member, run):
                member.call("finalize", run)


def _runs_here(member: GuardedCallback, run: TrainingRun) -> bool:
    """Return whether a callback runs in this process of a training."""
    return run.is_main or member.callback.every_rank
