"""The text about a W&B run in the table at the end."""

from __future__ import annotations

import pytest

from yolo_callbacks.loggers.wandb_parts.outcome import Outcome

ADDRESS = "https://wandb.test/me/crowns/runs/1"
COMMAND = "wandb sync folder"


def text(outcome: Outcome, address: str | None = ADDRESS) -> str:
    return outcome.text(address=address, sync_command=COMMAND)


@pytest.fixture
def outcome() -> Outcome:
    return Outcome()


def test_the_address_alone_where_all_has_arrived(outcome):
    outcome.add_missing("best.pt", "rows")
    for name in ("best.pt", "rows", "rows"):
        outcome.add_arrived(name)
    assert text(outcome) == ADDRESS


def test_the_command_where_the_run_is_offline(outcome):
    assert text(outcome, None) == f"upload with: {COMMAND}"


def test_what_is_missing_with_its_own_remedy(outcome):
    outcome.add_missing("best.pt", "rows", "best.pt")
    outcome.remedies["best.pt"] = "upload it with: put"
    assert text(outcome) == f"not uploaded: best.pt (upload it with: put), rows; upload with: {COMMAND}"


def test_rows_that_are_not_confirmed_are_not_called_missing(outcome):
    outcome.unconfirmed = True
    assert text(outcome) == f"not confirmed by the server: rows; upload with: {COMMAND}"
    outcome.add_missing("rows", "config")
    assert text(outcome) == f"not uploaded: config; not confirmed by the server: rows; upload with: {COMMAND}"


def test_what_was_dropped_is_counted_and_cannot_be_uploaded(outcome):
    for what in ("images", "batch losses", "images"):
        outcome.drop(what)
    assert text(outcome) == f"not logged, wandb was too slow: images (2 x), batch losses (1 x); {ADDRESS}"
