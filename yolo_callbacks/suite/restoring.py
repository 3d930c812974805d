"""How a suite takes up what the callbacks of a resumed run had reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_callbacks.state.journal import JOURNAL_FILE
from yolo_callbacks.state.recovery import Recovery, find_recoveries
from yolo_callbacks.state.state_file import STATE_FILE, Errors, keep_copies_aside
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.suite.relocation import copy_run_files, find_moved_folder, say_moved
from yolo_callbacks.trainer.training_run import TrainingRun
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
    taken: list[tuple[GuardedCallback, Recovery]] = field(default_factory=list)

    def undecided(self) -> list[tuple[Recovery, list[GuardedCallback]]]:
        """List the callbacks that have still to decide on the epoch of the checkpoint, with its record."""
        found: dict[int, tuple[Recovery, list[GuardedCallback]]] = {}
        for member, recovery in self.taken:
            if recovery.undecided is not None:
                found.setdefault(id(recovery), (recovery, []))[1].append(member)
        return list(found.values())


def restore(members: Sequence[GuardedCallback], run: TrainingRun) -> Restored | None:
    """Take over the states of the callbacks that the run had before and has again; None where nothing is known.

    Where the run's folder was moved or copied, the state beside the checkpoint comes first.
    """
    errors: Errors = {}
    folder, found = _find(run, errors)
    if not found:
        keep_copies_aside(errors)
        _say(members, None, run)
        return None
    restored = Restored(found[0])
    run.past = run.supervision.restore_records(restored.recovery.past)
    extension = restored.recovery.extension
    run.extended = extension is not None and extension["after"] == run.completed_epochs
    for member in members:
        for recovery in found:
            try:
                loaded = _load(member, recovery.states, run)
            except StateError as error:
                name = JOURNAL_FILE if recovery.journalled else STATE_FILE
                errors.setdefault(folder / name, []).append(f"the state of {member.label}: {error}")
                continue  # it may be right in the journal
            if loaded:
                restored.taken.append((member, recovery))
            break
    keep_copies_aside(errors)
    _say(members, restored, run)
    if run.moved_from:
        say_moved(run.moved_from, run)
    return restored


def _find(run: TrainingRun, errors: Errors) -> tuple[Path, list[Recovery]]:
    """Find the folder that holds the state of a resumed run; in the run's own there is what goes on from it."""
    moved = find_moved_folder(run)
    if moved and (found := find_recoveries(moved, run.completed_epochs, errors)):
        run.moved_from = moved
        copy_run_files(moved, run)
        return moved, found
    return run.save_dir, find_recoveries(run.save_dir, run.completed_epochs, errors)


def _say(members: Sequence[GuardedCallback], restored: Restored | None, run: TrainingRun) -> None:
    kept = restored.recovery.states if restored else {}
    restored_slots = [member for member, _ in restored.taken] if restored else []
    taken = [member.label for member in restored_slots]
    known = {member.key for member in members} | {_stored_key(member, kept, run.task) for member in members}
    fresh = [member.label for member in members if member not in restored_slots]
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


def load_reached(member: GuardedCallback, state: Mapping[str, Any], folder: Path) -> None:
    """Bring a callback to what its copy in another process has reached; a state that is wrong only warns."""
    try:
        member.callback.load_state_dict({**mapping(anything)(state), "folder": str(folder)})
    except Exception as error:
        LOGGER.warning(f"{member.label}: its results cannot be read: {member.origins.described(error)}")
        member.call("reset")


def _stored_key(member: GuardedCallback, kept: Mapping[str, Any], task: str) -> str | None:
    """Return the key under which the state of a callback is stored, perhaps by an older version."""
    keys = (member.key, *(member.call("old_state_keys", task) or ()))
    return next((key for key in keys if key in kept), None)


def _load(member: GuardedCallback, states: Mapping[str, Any], run: TrainingRun) -> bool:
    """Return whether the state of a callback was taken over; there may be none, or one of other arguments.

    Raises:
        StateError: If it is wrong.
    """
    key = _stored_key(member, states, run.task)
    if key is None:
        return False
    try:
        member.callback.load_state_dict(anything(states[key]))
        member.callback.resume(run)
    except Exception as error:
        member.call("reset")
        member.call("validate", run)
        if isinstance(error, StateError):
            raise
        LOGGER.warning(f"{member.label}: its state cannot be taken over: {member.origins.described(error)}")
        return False
    return True
