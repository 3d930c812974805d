"""A training with any suite ends as without one, with the same numbers, files, checkpoints, events and messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from do_no_harm.arms import run_arm, run_forked
from do_no_harm.comparison import Outcome, compare, lines_of_errors, runs
from do_no_harm.configurations import BY_NAME, CONFIGURATIONS, Configuration

Train = Callable[[Configuration, str, str], Outcome]


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the data sets of all configurations are."""
    yield tmp_path_factory.mktemp("data")
    wandb.teardown()


@pytest.fixture
def ways(data_folder, tmp_path, request, capfd) -> Train:
    """Train a configuration with a suite, in a folder of that name."""

    def train(configuration: Configuration, suite: str, name: str) -> Outcome:
        arguments: tuple[Any, ...] = (configuration, suite, tmp_path / name, data_folder)
        if configuration.forked:
            return run_forked(request.getfixturevalue("interpreter"), *arguments)
        capfd.readouterr()
        outcome = run_arm(*arguments)
        outcome.errors += lines_of_errors("\n".join(capfd.readouterr()))
        return outcome

    return train


def differences(ways: Train, configuration: Configuration, record: Any, suites: tuple[str, ...], twice: bool) -> str:
    """Train as a configuration says, plain and with suites, and say in lines what differs."""
    plain = ways(configuration, "none", "plain")
    assert plain.exit.startswith(configuration.exit), "without a suite"
    assert runs(plain), "no run without a suite"
    if twice:
        unstable = compare(plain, ways(configuration, "none", "again"), configuration.aspects)
        assert not unstable, "not the same without a suite, done twice:\n" + "\n".join(unstable)
    row: dict[str, Any] = {"name": configuration.name, "none": plain.seconds}
    lines = []
    for suite in suites:
        outcome = ways(configuration, suite, suite)
        outcome.errors = [line for line in outcome.errors if not configuration.allows(line)]
        found = compare(plain, outcome, configuration.aspects)
        lines += [f"\n{suite}: {line}" for line in found]
        row |= {suite: outcome.seconds, f"{suite} differs": sorted({line.split(":")[0] for line in found})}
    record("do no harm", row)
    return "".join(lines)


@pytest.mark.sample
def test_the_names_are_unique():
    assert len(BY_NAME) == len(CONFIGURATIONS)


@pytest.mark.sample
@pytest.mark.parametrize("name", [each.name for each in CONFIGURATIONS if each.sample])
def test_a_sample(name, ways, record_property):
    configuration = BY_NAME[name]
    found = differences(ways, configuration, record_property, (configuration.sample,), twice=False)
    assert not found, found


@pytest.mark.parametrize("name", BY_NAME)
def test_as_without_a_suite(name, ways, record_property):
    found = differences(ways, BY_NAME[name], record_property, ("default", "all"), twice=True)
    assert not found, found
