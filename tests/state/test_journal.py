"""The state after a kill: whatever epoch the checkpoint is of, the states are those of a run that was never killed."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from yolo_callbacks.decisions.plateau import PlateauRule
from yolo_callbacks.decisions.ranking import Ranking
from yolo_callbacks.decisions.stopping import StopRule
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.state.journal import JOURNAL_FILE, Entry, Journal
from yolo_callbacks.state.recovery import Recovery, find_recoveries, recoveries
from yolo_callbacks.state.run_state import RunState
from yolo_callbacks.state.state_file import STATE_FILE

# The steps of an epoch after which a kill may come.
STEPS = ("trained", "half a line", "line", "checkpoint", "decided", "half a state", "state")


class Killed(Exception):  # noqa: N818 (what happens to a run, no error of ours)
    pass


class Deciders:
    """Three rules and what they did, fed with records."""

    def __init__(self) -> None:
        self.stop = StopRule("max", patience=3)
        self.plateau = PlateauRule("max", patience=1, cooldown=1)
        self.ranking = Ranking("max", top_k=2)
        self.reductions: list[int] = []

    def decide(self, record: EpochRecord) -> bool:
        value = record.metrics["mAP50"]
        worst = min(record.per_class["mAP50(B)"].values())
        if self.plateau.check(record.epoch, value).reduce:
            self.reductions.append(record.epoch)
        decision = self.ranking.consider(record.epoch, worst)
        if decision.keep:
            self.ranking.add(record.epoch, worst, evicted=decision.evicted)
        return self.stop.check(record.epoch, value).stop

    def states(self) -> dict[str, Any]:
        kept = [[epoch, value] for epoch, value in self.ranking.kept.items()]
        return json.loads(json.dumps({"stop": asdict(self.stop), "plateau": asdict(self.plateau), "kept": kept,
                                      "cuts": self.reductions}))  # fmt: skip

    def load(self, states: dict[str, Any]) -> None:
        self.stop, self.plateau = StopRule(**states["stop"]), PlateauRule(**states["plateau"])
        self.ranking = Ranking("max", top_k=2, kept=dict(states["kept"]))
        self.reductions = states["cuts"]


def record(epoch: int, value: float) -> EpochRecord:
    per_class = {"mAP50(B)": {0: value, 1: 1.0 - value if math.isfinite(value) else 0.5}}
    return EpochRecord(epoch, 99, {"mAP50": value}, per_class, names={0: "a", 1: "b"}, validated=True)


def train(folder: Path, values: list[float], start: int, kill: tuple[int, str] | None) -> Deciders:
    """Epochs from `start` + 1 on, as a suite takes them; the checkpoint is a file that holds the epoch."""
    deciders, state = Deciders(), RunState(folder, lambda function, *arguments: function(*arguments))
    ended = False
    if start:
        recovery = find_recoveries(folder, start, {})[0]
        deciders.load(recovery.states)
        ended = recovery.ended
        if recovery.undecided:
            ended |= deciders.decide(EpochRecord.restore(recovery.undecided, names={}, checkpoint=Path()))
    state.begin(start, deciders.states(), {}, ended=ended)

    def reached(epoch: int, step: str) -> None:
        if kill == (epoch, step):
            raise Killed

    for epoch, value in enumerate(values[start:], start + 1):
        if ended:
            break
        reached(epoch, "trained")
        if kill == (epoch, "half a line"):
            with (folder / JOURNAL_FILE).open("a") as file:
                file.write('{"epoch": 4, "ended": false, "sta')
            raise Killed
        state.open_epoch(record(epoch, value), deciders.states(), ended=False)
        reached(epoch, "line")
        (folder / "checkpoint").write_text(str(epoch))
        (folder / f"checkpoint{epoch}").write_text(str(epoch))
        reached(epoch, "checkpoint")
        ended = deciders.decide(record(epoch, value))
        reached(epoch, "decided")
        if kill == (epoch, "half a state"):
            (folder / f".{STATE_FILE}.tmp").write_text('{"sche')
            raise Killed
        state.close_epoch(epoch, deciders.states(), {}, ended=ended)
        reached(epoch, "state")
    return deciders


values = st.lists(
    st.one_of(st.integers(0, 8).map(lambda number: number / 8), st.just(math.nan)), min_size=1, max_size=9
)


@examples(150)
@given(values=values, data=st.data())
def test_killed_at_any_step_and_as_often_as_you_like(values, data):
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as killed:
        expected = train(Path(whole), values, 0, None)
        folder, start = Path(killed), 0
        for _ in range(data.draw(st.integers(1, 3))):
            kill = (data.draw(st.integers(start + 1, 9)), data.draw(st.sampled_from(STEPS)))
            try:
                train(folder, values, start, kill)
                break
            except Killed:
                start = int((folder / "checkpoint").read_text()) if (folder / "checkpoint").exists() else 0
                if data.draw(st.booleans()) and start > 1:  # a checkpoint of before, as save_period= keeps them
                    start = data.draw(st.integers(1, start))
        found = train(folder, values, start, None)
        assert found.states() == expected.states()


EARLIER = {"schema": 1, "epoch": 3, "ended": False, "callbacks": {"a": "after 3"}, "published": {"p": 3.0}}
LINES = [
    Entry(epoch, epoch == 4, {"a": f"before {epoch}"}, {"p": epoch - 1.0}, {"epoch": epoch}) for epoch in (2, 3, 4)
]
AGAIN = [Entry(3, False, {"a": "before 3 again"}, {"p": 2.5}, {"epoch": 3, "again": True})]
PAST = ({"epoch": 2, "published": {"p": 2.0}}, {"epoch": 3, "published": {"p": 3.0}})
PAST_AGAIN = ({"epoch": 2, "published": {"p": 2.5}},)


@pytest.mark.parametrize(
    ("state", "lines", "epoch", "expected"),
    [
        (EARLIER, LINES, 3, Recovery({"a": "after 3"}, past=PAST)),
        ({**EARLIER, "ended": True}, [], 3, Recovery({"a": "after 3"}, ended=True)),
        (EARLIER, LINES, 4, Recovery({"a": "before 4"}, True, {"epoch": 4}, PAST, journalled=True)),
        (EARLIER, LINES, 2, Recovery({"a": "before 3"}, past=PAST[:1], journalled=True)),
        (EARLIER, LINES, 1, None),
        (
            None,
            [*LINES, *AGAIN],
            3,
            Recovery({"a": "before 3 again"}, undecided=AGAIN[0].record, past=PAST_AGAIN, journalled=True),
        ),
        (None, [*LINES, *AGAIN], 4, Recovery({"a": "before 4"}, True, {"epoch": 4}, PAST, journalled=True)),
        (None, LINES, 3, Recovery({"a": "before 4"}, past=PAST, journalled=True)),
        (EARLIER, [], 4, None),
        (EARLIER, LINES, 5, None),
        (None, [], 1, None),
    ],
)
def test_what_is_known_of_an_epoch(state, lines, epoch, expected):
    assert next(iter(recoveries(state, lines, epoch)), None) == expected


def test_a_state_that_is_wrong_in_callbacks_json_may_be_right_in_the_journal():
    found = recoveries(EARLIER, LINES[:2], 3)
    assert [recovery.states for recovery in found] == [{"a": "after 3"}, {"a": "before 3"}]
    assert [recovery.undecided for recovery in found] == [None, {"epoch": 3}]


@pytest.mark.parametrize(
    ("state", "lines", "epoch", "states", "known"),
    [
        (EARLIER, [], 5, {"a": "after 3"}, 3),
        (EARLIER, LINES, 6, {"a": "after 3"}, 3),
        (None, LINES, 6, {"a": "before 4"}, 3),
        (None, LINES[:1], 4, {"a": "before 2"}, 1),
        ({**EARLIER, "epoch": 9}, LINES[:1], 4, {"a": "before 2"}, 1),
    ],
)
def test_where_a_file_is_damaged_an_earlier_state_is_better_than_none(state, lines, epoch, states, known):
    assert recoveries(state, lines, epoch) == []
    (found,) = recoveries(state, lines, epoch, damaged=True)
    assert (found.states, found.known_epoch, found.undecided, found.ended) == (states, known, None, False)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    for epoch, value in ((1, 0.25), (2, math.nan), (3, math.inf)):
        journal.append(record(epoch, value), {"a": {"wait": epoch}}, {"p": 1.5}, ended=epoch == 3)
    return journal


def test_a_record_comes_back_as_it_was(journal):
    entries = journal.entries([])
    assert [(entry.epoch, entry.ended, entry.states) for entry in entries] == [
        (1, False, {"a": {"wait": 1}}), (2, False, {"a": {"wait": 2}}), (3, True, {"a": {"wait": 3}})
    ]  # fmt: skip
    back = [EpochRecord.restore(entry.record, names={0: "a", 1: "b"}, checkpoint=Path("last.pt")) for entry in entries]
    assert (back[0].metrics, back[0].per_class) == ({"mAP50": 0.25}, {"mAP50(B)": {0: 0.25, 1: 0.75}})
    assert math.isnan(back[1].metrics["mAP50"])
    assert back[2].metrics["mAP50"] == math.inf
    assert (back[0].checkpoint, back[0].class_name(1), back[0].validated) == (Path("last.pt"), "b", True)


def epochs(journal):
    return [entry.epoch for entry in journal.entries([])]


def test_half_a_line_is_no_line(journal):
    whole = journal.path.read_bytes()
    journal.append(record(4, 0.5), {}, {}, ended=False)
    line = journal.path.read_bytes()[len(whole) :]
    for size in range(0, len(line) - 1, 7):
        journal.path.write_bytes(whole + line[:size])
        assert epochs(journal) == [1, 2, 3]
        journal.begin(3)
        journal.append(record(4, 0.5), {}, {}, ended=False)
        assert epochs(journal) == [1, 2, 3, 4]
    journal.path.write_bytes(b"\xff\x00 no text at all\n" + whole)
    assert epochs(journal) == [1, 2, 3]


def test_a_new_run_in_the_folder_of_another(journal):
    journal.begin(2)
    assert epochs(journal) == [1, 2, 3]
    journal.begin(0)
    assert epochs(journal) == []


def test_a_line_that_does_not_fit_leaves_no_half(journal, monkeypatch):
    before = journal.path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        journal.append(record(4, 0.5), {"a": object()}, {}, ended=False)
    assert journal.path.read_bytes() == before
