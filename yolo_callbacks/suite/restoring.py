"""How a suite takes up what the callbacks of a resumed run had reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_callbacks.state.journal import JOURNAL_FILE, Recovery
from yolo_callbacks.state.run_state import STATE_FILE, Errors, find_recoveries, keep_copies_aside
from yolo_callbacks.suite.guarded_callback import Slot
from yolo_callbacks.suite.relocation import copy_run_files, find_moved_folder, say_moved
from yolo_callbacks.trainer.training_run import TrainerAdaptor
from yolo_callbacks.utils.fields import StateError, anything, mapping, printable
from yolo_callbacks.utils.files import LOGGER

__all__ = ["Restored", "load_reached", "restore"]


@dataclass
class Restored:
    """What a resumed run goes on from.

    Attributes:
        recovery: Where the run as a whole goes on.
        taken: Each callback whose state was taken over, with where it is from: that of one may be wrong in
            callbacks.json and right in the journal.
    """

    recovery: Recovery
    taken: list[tuple[Slot, Recovery]] = field(default_factory=list)

    def undecided(self) -> list[tuple[Recovery, list[Slot]]]:
        """List the callbacks that have still to decide on the epoch of the checkpoint, with its record."""
        found: dict[int, tuple[Recovery, list[Slot]]] = {}
        for slot, recovery in self.taken:
            if recovery.undecided is not None:
                found.setdefault(id(recovery), (recovery, []))[1].append(slot)
        return list(found.values())


def restore(slots: Sequence[Slot], run: TrainerAdaptor) -> Restored | None:
    """Take over the states of the callbacks that the run had before and has again; None where nothing is known.

    Where the run's folder was moved or copied, the state beside the checkpoint comes first.
    """
    errors: Errors = {}
    folder, found = _find(run, errors)
    if not found:
        keep_copies_aside(errors)
        _say(slots, None, run)
        return None
    restored = Restored(found[0])
    run.remember(restored.recovery.past)
    extension = restored.recovery.extension
    run.extended = extension is not None and extension["after"] == run.completed_epochs
    for slot in slots:
        for recovery in found:
            try:
                loaded = _load(slot, recovery.states, run)
            except StateError as error:
                name = JOURNAL_FILE if recovery.journalled else STATE_FILE
                errors.setdefault(folder / name, []).append(f"the state of {slot.label}: {error}")
                continue  # it may be right in the journal
            if loaded:
                restored.taken.append((slot, recovery))
            break
    keep_copies_aside(errors)
    _say(slots, restored, run)
    if run.moved_from:
        say_moved(run.moved_from, run)
    return restored


def _find(run: TrainerAdaptor, errors: Errors) -> tuple[Path, list[Recovery]]:
    """Find the folder that holds the state of a resumed run; in the run's own there is what goes on from it."""
    moved = find_moved_folder(run)
    if moved and (found := find_recoveries(moved, run.completed_epochs, errors)):
        run.moved_from = moved
        copy_run_files(moved, run)
        return moved, found
    return run.save_dir, find_recoveries(run.save_dir, run.completed_epochs, errors)


def _say(slots: Sequence[Slot], restored: Restored | None, run: TrainerAdaptor) -> None:
    kept = restored.recovery.states if restored else {}
    restored_slots = [slot for slot, _ in restored.taken] if restored else []
    taken = [slot.label for slot in restored_slots]
    known = {slot.key for slot in slots} | {_stored_key(slot, kept, run.task) for slot in slots}
    fresh = [slot.label for slot in slots if slot not in restored_slots]
    gone = [printable(key) for key in kept if key not in known]
    LOGGER.info(
        f"Callbacks: resumed after epoch {run.completed_epochs}, restored: {', '.join(taken) or 'none'}"
        + (f"; started fresh: {', '.join(fresh)}" if fresh else "")
        + (f"; no longer attached: {', '.join(gone)}" if gone else "")
    )
    if restored and restored.recovery.known_epoch is not None:
        LOGGER.warning(
            f"Callbacks: what can be read is of epoch {restored.recovery.known_epoch}: they do not know what came after"
        )


def load_reached(slot: Slot, state: Mapping[str, Any], folder: Path) -> None:
    """Bring a callback to what its copy in another process has reached; a state that is wrong only warns."""
    try:
        slot.callback.load_state_dict({**mapping(anything)(state), "folder": str(folder)})
    except Exception as error:
        LOGGER.warning(f"{slot.label}: its results cannot be read: {slot.origins.described(error)}")
        slot.call("reset")


def _stored_key(slot: Slot, kept: Mapping[str, Any], task: str) -> str | None:
    """Return the key under which the state of a callback is stored, perhaps by an older version."""
    keys = (slot.key, *(slot.call("old_keys", task) or ()))
    return next((key for key in keys if key in kept), None)


def _load(slot: Slot, states: Mapping[str, Any], run: TrainerAdaptor) -> bool:
    """Return whether the state of a callback was taken over; there may be none, or one of other arguments.

    Raises:
        StateError: If it is wrong.
    """
    key = _stored_key(slot, states, run.task)
    if key is None:
        return False
    try:
        slot.callback.load_state_dict(anything(states[key]))
        slot.callback.resume(run)
    except Exception as error:
        slot.call("reset")
        slot.call("check", run)
        if isinstance(error, StateError):
            raise
        LOGGER.warning(f"{slot.label}: its state cannot be taken over: {slot.origins.described(error)}")
        return False
    return True
