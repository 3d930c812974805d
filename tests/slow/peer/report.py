"""Compare what came of each test in the ways, and say it as Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

# Columns of results.csv that no two runs share.
CLOCK = ("time",)


@dataclass(frozen=True)
class Outcome:
    """The result of one test in one way of running it.

    Attributes:
        outcome: `"passed"`, `"failed"` or `"skipped"`.
        seconds: How long it took.
        reason: Why it failed or was skipped, in one line.
        results: The text of each results.csv that its trainings left, by place.
        weights: A digest of each checkpoint of Ultralytics, by place.
        ours: The number of run folders that our callbacks have written to.
    """

    outcome: str
    seconds: float = 0.0
    reason: str = ""
    results: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    ours: int = 0


Outcomes = Mapping[str, Outcome]  # by test


def outcomes(record: str) -> dict[str, Outcome]:
    """Read the lines of a record; a test that has only started has ended its process."""
    found = {}
    for line in map(json.loads, record.splitlines()):
        event, test = line.pop("event"), line.pop("test")
        if event == "start":
            found[test] = Outcome(FAILED, reason="its process ended")
        else:
            found[test] = Outcome(**line)
    return found


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a results.csv without what the clock says."""
    found = csv.DictReader(io.StringIO(text))
    return [
        {str(key).strip(): str(cell).strip() for key, cell in row.items() if str(key).strip() not in CLOCK}
        for row in found
    ]


def results_differences(plain: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return one line for each results.csv of a test that differs from the one of the plain run."""
    found = [
        f"{place}: {'missing' if place in plain else 'not in plain'}" for place in sorted(plain.keys() ^ other.keys())
    ]
    for place in sorted(plain.keys() & other.keys()):
        before, after = rows(plain[place]), rows(other[place])
        if len(before) != len(after):
            found.append(f"{place}: {len(after)} rows, plain has {len(before)}")
            continue
        columns = sorted(
            {key for a, b in zip(before, after, strict=True) for key in {**a, **b} if a.get(key) != b.get(key)}
        )
        if columns:
            found.append(f"{place}: {', '.join(columns)}")
    return found


def weights_differences(plain: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return one line for each last.pt or best.pt of a test that differs from the one of the plain run."""
    return [
        f"{place}: {other.get(place, 'missing')}, plain {plain.get(place, 'missing')}"
        for place in sorted(plain.keys() | other.keys())
        if plain.get(place) != other.get(place)
    ]


def regressions(plain: Outcomes, other: Outcomes) -> dict[str, list[str]]:
    """Return, for each test that passes plain, what is worse or different in another way."""
    found: dict[str, list[str]] = {}
    for test, before in plain.items():
        if before.outcome != PASSED:
            continue
        after = other.get(test)
        if after is None:
            found[test] = ["did not run"]
            continue
        if after.outcome != PASSED:
            found[test] = [f"{after.outcome}: {after.reason}"]
            continue
        differences = [f"results.csv: {text}" for text in results_differences(before.results, after.results)]
        differences += [f"weights: {text}" for text in weights_differences(before.weights, after.weights)]
        if differences:
            found[test] = differences
    return found


def cannot_run(plain: Outcomes) -> dict[str, str]:
    """Return the tests that do not pass without us either, with the reason."""
    return {test: f"{o.outcome}: {o.reason}" for test, o in plain.items() if o.outcome != PASSED}


def markdown(ways: Mapping[str, Outcomes], *, version: str, plain: str) -> str:
    """Write the report."""
    before = ways[plain]
    lines = [f"# The training tests of Ultralytics {version} with yolo-callbacks", "", *_totals(ways), ""]
    for way, found in ways.items():
        worse = regressions(before, found)
        if way != plain:
            lines += [f"## {way}: {_count(len(worse), 'test')} worse than plain", ""]
            lines += [f"- `{test}`: {text}" for test, texts in worse.items() for text in texts]
            lines += [""] if worse else []
    missing = cannot_run(before)
    lines += [f"## {_count(len(missing), 'test')} cannot run here", ""]
    lines += [f"- `{test}`: {reason}" for test, reason in missing.items()]
    lines += ["", "## Every test", "", *_table(ways)]
    return "\n".join(lines) + "\n"


def _totals(ways: Mapping[str, Outcomes]) -> list[str]:
    lines = _head("way", PASSED, FAILED, SKIPPED, "results.csv", "checkpoints", "runs with our files", "seconds")
    for way, found in ways.items():
        counts = Counter(outcome.outcome for outcome in found.values())
        files = [sum(len(getattr(o, name)) for o in found.values()) for name in ("results", "weights")]
        ours, seconds = sum(o.ours for o in found.values()), sum(o.seconds for o in found.values())
        cells = (way, counts[PASSED], counts[FAILED], counts[SKIPPED], *files, ours, round(seconds))
        lines.append(_row(*cells))
    return lines


def _table(ways: Mapping[str, Outcomes]) -> list[str]:
    tests = dict.fromkeys(test for found in ways.values() for test in found)
    lines = _head("test", *(f"{way}, s" for way in ways))
    for test in tests:
        cells = [
            f"{found[test].outcome}, {found[test].seconds:.1f}" if test in found else "-" for found in ways.values()
        ]
        lines.append(_row(f"`{test}`", *cells))
    return lines


def _head(*names: str) -> list[str]:
    return [_row(*names), _row(*["---"] * len(names))]


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def worse_in_any(ways: Mapping[str, Outcomes], plain: str) -> Sequence[str]:
    """Return the ways in which a test that passes plain fails or leaves something else."""
    return [way for way, found in ways.items() if way != plain and regressions(ways[plain], found)]
