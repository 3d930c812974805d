"""Restore the states of the callbacks in a resumed run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_callbacks.state.journal import JOURNAL_FILE
from yolo_callbacks.state.recovery import Recovery, find_recoveries
from yolo_callbacks.state.state_file import STATE_FILE, Errors, keep_copies_aside
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.suite.relocation import copy_run_files, find_moved_folder, warn_of_move
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.console import console_width, listed, wrapped
from yolo_callbacks.utils.fields import StateError, anything, printable
from yolo_callbacks.utils.files import LOGGER

__all__ = ["Restored", "restore"]


_OF_REPORT = "ValidationSnapshot"  # `report=True` adds it, and a JsonlLogger


@dataclass
class Restored:
    """What a resumed run was restored from.

    Attributes:
        recovery: The states from which the run as a whole continues.
        sources: Each callback whose state was restored, with the states that it was restored from. They may differ: the
            state of one callback may be wrong in callbacks.json and right in the journal.
        scalars: What the callbacks logged in the last epoch.
    """

    recovery: Recovery
    sources: list[tuple[GuardedCallback, Recovery]] = field(default_factory=list)
    scalars: Mapping[str, float] = field(default_factory=dict)

    def undecided(self) -> list[tuple[Recovery, list[GuardedCallback]]]:
        """List the callbacks that have still to decide on the epoch of the checkpoint, with its record."""
        found: dict[int, tuple[Recovery, list[GuardedCallback]]] = {}
        for member, recovery in self.sources:
            if recovery.undecided is not None:
                found.setdefault(id(recovery), (recovery, []))[1].append(member)
        return list(found.values())


def restore(members: Sequence[GuardedCallback], run: TrainingRun) -> Restored | None:
    """Restore the states of the callbacks that the run had before and has again.

    Where the folder of the run was moved or copied, the state beside the checkpoint comes first.

    Returns:
        What the run was restored from; None where nothing is known of it.
    """
    errors: Errors = {}
    folder, found = _find(run, errors)
    if not found:
        keep_copies_aside(errors)
        _log_restored(members, None, run)
        return None
    restored = Restored(found[0])
    run.past = run.supervision.restore_records(restored.recovery.past)
    extension = restored.recovery.extension
    run.extended = extension is not None and extension["after"] == run.completed_epochs
    for member in members:
        _restore_member(member, found, run, restored, folder, errors)
    keep_copies_aside(errors)
    _log_restored(members, restored, run)
    if run.moved_from:
        warn_of_move(run.moved_from, run)
    restored.scalars = run.past[-1].scalars if run.past else {}
    return restored


def _find(run: TrainingRun, errors: Errors) -> tuple[Path, list[Recovery]]:
    """Find the folder that holds the state of a resumed run, and the states in it, the best first.

    What the folder of the run lacks is copied to it.
    """
    moved = find_moved_folder(run)
    if moved and (found := find_recoveries(moved, run.completed_epochs, errors)):
        run.moved_from = moved
        copy_run_files(moved, run)
        return moved, found
    return run.save_dir, find_recoveries(run.save_dir, run.completed_epochs, errors)


def _restore_member(
    member: GuardedCallback,
    recoveries: Sequence[Recovery],
    run: TrainingRun,
    restored: Restored,
    folder: Path,
    errors: Errors,
) -> None:
    """Restore the state of one callback from the first of the recoveries that holds a right one."""
    for recovery in recoveries:
        try:
            loaded = _load(member, recovery.states, run)
        except StateError as error:
            name = JOURNAL_FILE if recovery.journalled else STATE_FILE
            errors.setdefault(folder / name, []).append(f"the state of {member.label}: {error}")
            continue  # it may be right in the journal
        if loaded:
            restored.sources.append((member, recovery))
        return


def _load(member: GuardedCallback, states: Mapping[str, Any], run: TrainingRun) -> bool:
    """Return whether the state of a callback was restored; there may be none, or one of other arguments.

    Raises:
        StateError: If the state is wrong.
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
        LOGGER.warning(f"{member.label}: its state cannot be restored: {member.origins.described(error)}")
        return False
    return True


def _stored_key(member: GuardedCallback, states: Mapping[str, Any], task: str) -> str | None:
    """Return the key under which the state of a callback is stored, perhaps by an older version."""
    keys = (member.key, *(member.call("old_state_keys", task) or ()))
    return next((key for key in keys if key in states), None)


def _log_restored(members: Sequence[GuardedCallback], restored: Restored | None, run: TrainingRun) -> None:
    """Log which callbacks were restored, and which were not."""
    states = restored.recovery.states if restored else {}
    restored_members = [member for member, _ in restored.sources if _loads(member)] if restored else []
    for member in members:
        if member.overrides("state_dict") and not _loads(member):
            LOGGER.warning(f"{member.label}: it has a state_dict but no load_state_dict, and starts fresh")
    names = [member.label for member in restored_members if not member.of_report]
    known = {member.key for member in members} | {_stored_key(member, states, run.task) for member in members}
    fresh = [member.label for member in members if not (member in restored_members or member.of_report)]
    gone = _as_given([printable(key) for key in states if key not in known])
    parts = [f"Callbacks: resumed after epoch {run.completed_epochs}, restored:", *listed(names or ["none"])]
    for title, others in (("started fresh", fresh), ("no longer attached", gone)):
        if others:
            parts[-1] += ";"
            parts += [f"{title}:", *listed(others)]
    LOGGER.info(wrapped(parts, console_width()))
    if restored and restored.recovery.known_epoch is not None:
        LOGGER.warning(
            f"Callbacks: the state that can be read is of epoch {restored.recovery.known_epoch}: the callbacks do not "
            "know the epochs after it"
        )


def _as_given(keys: list[str]) -> list[str]:
    """Return the names of callbacks as the user has given them: `report=True` has added two of them."""
    if _OF_REPORT not in keys:
        return keys
    return [*(key for key in keys if key not in (_OF_REPORT, "JsonlLogger")), "report=True"]


def _loads(member: GuardedCallback) -> bool:
    """Return whether a callback takes its state, or has none to take."""
    return member.overrides("load_state_dict") or not member.overrides("state_dict")
