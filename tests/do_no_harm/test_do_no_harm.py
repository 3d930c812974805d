"""A training with any suite ends as without one, with the same numbers, files, checkpoints, events and messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from do_no_harm.arms import SUITES, lines_of_errors, run_arm, run_forked
from do_no_harm.comparison import Outcome, compare, runs
from do_no_harm.configurations import BY_NAME, CONFIGURATIONS, Configuration


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def test_the_names_are_unique():
    assert len(BY_NAME) == len(CONFIGURATIONS)


@pytest.mark.training
@pytest.mark.parametrize(
    "configuration",
    [pytest.param(each, id=each.name, marks=() if each.sample else pytest.mark.slow) for each in CONFIGURATIONS],
)
def test_as_without_a_suite(configuration, data_folder, tmp_path, request, record_property, capfd):
    def train(suite: str, name: str) -> Outcome:
        arguments: tuple[Any, ...] = (configuration, suite, tmp_path / name, data_folder)
        if configuration.forked:
            return run_forked(request.getfixturevalue("interpreter"), *arguments)
        capfd.readouterr()
        outcome = run_arm(*arguments)
        outcome.errors += lines_of_errors("\n".join(capfd.readouterr()))
        return outcome

    plain, again = train("none", "plain"), train("none", "again")
    assert plain.exit.startswith(configuration.exit), "without a suite"
    assert runs(plain), "without a suite"
    assert compare(plain, again, configuration.aspects) == [], "without a suite, done twice: not comparable"
    row: dict[str, Any] = {"name": configuration.name, "none": plain.seconds}
    differences = []
    for suite in SUITES[1:]:
        outcome = train(suite, suite)
        found = compare(plain, _expected(outcome, configuration), configuration.aspects)
        differences += [f"{suite}: {line}" for line in found]
        row |= {suite: outcome.seconds, f"{suite} differs": sorted({line.split(":")[0] for line in found})}
    record_property("do no harm", row)
    assert differences == []


def _expected(outcome: Outcome, configuration: Configuration) -> Outcome:
    """Leave out the warnings that the configuration asks for."""
    if configuration.warns:
        outcome.errors = [line for line in outcome.errors if not line.startswith("WARNING of ultralytics.yolo_")]
    return outcome
