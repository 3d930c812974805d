"""Judge from the status of a run whether it goes on, has ended, or was killed."""

from __future__ import annotations

__all__ = ["ACTIVE", "ENDED", "ended_state", "health", "is_well"]

ACTIVE = ("starting", "training", "validating", "evaluating")
"""The states of a run that goes on; `evaluating` is the final evaluation."""

ENDED = ("finished", "stopped", "left", "pruned", "interrupted", "failed")
"""The states of a run that has ended: all epochs; by a stop; to be resumed; as a trial; by a signal; by an error."""

_LATE = 6.0  # intervals without a heartbeat: a busy disk may delay some
_WELL = ("finished", "stopped", "left", "pruned", *ACTIVE)
_BY_SIGNAL = ("Ctrl-C", "SIG")
_PREFIX = "ended by "


def ended_state(status: str, stopped_by: str) -> tuple[str, str]:
    """Return the state of a run that has ended, and the reason; `""` where there is none.

    Args:
        status: The status in the summary of the run, such as `"finished"` or `"ended by ValueError"`.
        stopped_by: Who stopped it; `""` if it ended with its last epoch.
    """
    if status == "finished":
        return ("stopped", stopped_by) if stopped_by else ("finished", "")
    if status == "left early":
        return "left", stopped_by
    if status == "pruned":
        return "pruned", stopped_by
    cause = status.removeprefix(_PREFIX)
    if cause.startswith(_BY_SIGNAL) or cause in ("ended", "W&B's agent"):
        return "interrupted", "" if cause == "ended" else cause
    return "failed", cause


def health(state: str, age: float, interval: float, *, process_alive: bool | None) -> str:
    """Return the state of a run as it is now: the stored one, `"killed"`, or `"silent"`.

    A killed process cannot write that it was killed. On its own machine the process is looked for; elsewhere, and where
    it is there but writes nothing, an old heartbeat says that it was killed, that it hangs, or that its disk is away.

    Args:
        state: The stored state.
        age: The seconds since the last heartbeat.
        interval: The seconds between two heartbeats.
        process_alive: Whether the process exists; None where that is unknown.
    """
    if state not in ACTIVE:
        return state
    if process_alive is False:
        return "killed"
    return "silent" if age > _LATE * interval else state


def is_well(state: str) -> bool:
    """Return whether a run in this state goes on, or has ended as it was meant to."""
    return state in _WELL
