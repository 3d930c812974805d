"""Validate the stored state of a rule that counts checks without improvement."""

from __future__ import annotations

from typing import Any

from yolo_callbacks.utils.fields import MAX_COUNT, Field, StateError, number, optional, read_fields, whole

__all__ = ["last_checked_epoch", "read_patience"]


def last_checked_epoch(state: object) -> int:
    """Return the last epoch that a state may name: the one after which it was stored, where it says so.

    Raises:
        StateError: If the state is no mapping, or that is no epoch.
    """
    return int(read_fields(state, {"checked_epoch": Field(whole(), MAX_COUNT)})["checked_epoch"])


def read_patience(state: dict[str, Any]) -> dict[str, Any]:
    """Return `best_score`, `best_epoch` and `wait` of a state, as a rule takes them.

    Raises:
        StateError: If one of them is missing or wrong, or if they contradict each other.
    """
    last = last_checked_epoch(state)
    best = read_fields(state, {"best_score": Field(optional(number())), "best_epoch": Field(whole(maximum=last))})
    if (best["best_score"] is None) != (best["best_epoch"] == 0):
        raise StateError(f"best_score is {best['best_score']}, best_epoch {best['best_epoch']}")
    # A check without improvement comes after the best epoch: a larger count would decide at once.
    return best | read_fields(state, {"wait": Field(whole(maximum=last - best["best_epoch"]))})
