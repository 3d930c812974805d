"""The parts of a session with W&B that need no server: its thread, its messages, and the rows that it keeps."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from wandb_runs import read_runs

from yolo_callbacks.loggers.logger_parts.news import News
from yolo_callbacks.loggers.wandb_parts.ending import Ending, Upload
from yolo_callbacks.loggers.wandb_parts.file import logged_rows, write_completed
from yolo_callbacks.loggers.wandb_parts.kept_rows import MAX_BATCH_ROWS, KeptRows
from yolo_callbacks.loggers.wandb_parts.outcome import Outcome
from yolo_callbacks.loggers.wandb_parts.saving import save_rows
from yolo_callbacks.loggers.wandb_parts.sending import Sender
from yolo_callbacks.loggers.wandb_parts.session import WandbSession
from yolo_callbacks.loggers.wandb_parts.session_run import SessionRun
from yolo_callbacks.loggers.wandb_parts.session_thread import SessionThread
from yolo_callbacks.utils.origins import Origins

EPOCHS = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}, {"final/loss": 0.3}]


@pytest.fixture
def news() -> News:
    return News(Origins().described)


def file_of_run(folder: Path, rows: list[dict[str, Any]]) -> str:
    folder.mkdir(parents=True)
    run = {"run_id": "abc", "project": "p"}
    write_completed(folder / "run-abc.wandb", None, rows, run=run, metrics=[], exit_code=0)
    return str(folder)


class TestNews:
    def test_messages_are_printed_in_order_and_once(self, news, messages):
        news.info("https://wandb.test")
        news.warning("no API key. The run is logged offline.")
        assert messages == []
        for _ in range(2):
            news.print()
        assert messages == ["W&B: https://wandb.test", "W&B: no API key. The run is logged offline."]

    def test_a_kind_of_error_is_one_warning(self, news, messages):
        for error in (OSError(28, "full"), OSError(28, "full"), OSError(13, "denied"), ValueError("x")):
            news.warn_of(error, "a row could not be logged")
        news.print()
        assert messages == [
            "W&B: a row could not be logged: OSError: [Errno 28] full",
            "W&B: a row could not be logged: PermissionError: [Errno 13] denied",
            "W&B: a row could not be logged: ValueError: x",
        ]


class TestThread:
    def test_tasks_follow_the_opening_in_their_order(self, news):
        done: list[object] = []
        thread = SessionThread(lambda: done.append("opened"), lambda: bool(done), news)
        for number in range(3):
            thread.submit(lambda number=number: done.append(number))
        thread.start()
        assert thread.end(60)
        assert done == ["opened", 0, 1, 2]

    def test_a_task_that_fails_is_a_warning(self, news, messages):
        done: list[int] = []

        def fail() -> None:
            raise ValueError("broken")

        thread = SessionThread(lambda: None, lambda: True, news)
        thread.submit(fail)
        thread.submit(lambda: done.append(1))
        thread.start()
        assert thread.end(60)
        news.print()
        assert (done, messages) == ([1], ["W&B: a call of wandb failed: ValueError: broken"])

    def test_without_a_run_no_task_is_done(self, news, messages):
        done: list[int] = []

        def leave() -> None:
            raise SystemExit(3)

        thread = SessionThread(leave, lambda: False, news)
        thread.submit(lambda: done.append(1))
        thread.start()
        thread.wait_for_run(60)
        assert thread.end(60)
        news.print()
        assert (done, messages) == ([], ["W&B: the run could not be opened: SystemExit: 3"])

    def test_a_system_that_allows_no_thread(self, news, messages, monkeypatch):
        def refused(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refused)
        thread = SessionThread(lambda: None, lambda: True, news)
        thread.start()
        thread.wait_for_run(60)
        assert thread.end(60)
        news.print()
        assert messages == ["W&B: the run could not be opened: RuntimeError: can't start new thread"]

    def test_a_task_that_does_not_return_is_left_behind(self, news):
        gate = threading.Event()
        thread = SessionThread(lambda: None, lambda: True, news)
        thread.submit(gate.wait)
        thread.start()
        assert not thread.end(0.01)
        gate.set()
        assert thread.end(60)


class TestKeptRows:
    def test_rows_with_a_key_are_kept(self):
        rows = KeptRows()
        for row in ({"batch/step": 1}, *EPOCHS, {"mine": 1}):
            rows.keep(row)
        assert rows.unlogged() == [{"batch/step": 1}, *EPOCHS]

    def test_the_last_rows_of_batches_are_kept(self):
        rows = KeptRows()
        for step in range(1, MAX_BATCH_ROWS + 3):
            rows.keep({"batch/step": step})
        assert [rows.unlogged()[i]["batch/step"] for i in (0, -1)] == [3, MAX_BATCH_ROWS + 2]

    def test_the_past_comes_first_and_what_is_logged_is_left_out(self):
        rows = KeptRows()
        rows.past = [{"epoch": 1}, {"epoch": 2}]
        rows.keep({"epoch": 3})
        rows.logged = {("epoch", 1)}
        assert rows.take_past() == [{"epoch": 1}, {"epoch": 2}]
        assert rows.past == []
        assert rows.unlogged() == [{"epoch": 2}, {"epoch": 3}]


class Opened(SimpleNamespace):
    """Has what a sender reads of a `SessionRun` that is open."""

    def __init__(self, **values: Any) -> None:
        self.logged: list[dict[str, Any]] = []
        run = SimpleNamespace(log=self.logged.append, summary=values.pop("summary", {}))
        super().__init__(**{"owned": True, "offline": False, "earlier_folders": [], "wandb_run": run, **values})


class TestSender:
    def replayed(self, run: Opened, news: News, past: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows = KeptRows()
        rows.past = past
        sender = Sender(run, rows, news)
        sender.replay()
        sender.log(EPOCHS[2])
        return run.logged

    def test_rows_that_a_folder_has_are_not_logged_again(self, tmp_path, news):
        folder = file_of_run(tmp_path / "offline-run-1-abc", EPOCHS[:1])
        run = Opened(offline=True, earlier_folders=[folder])
        assert self.replayed(run, news, EPOCHS[:2]) == EPOCHS[1:]

    def test_rows_that_the_server_has_are_not_logged_again(self, news):
        run = Opened(earlier_folders=["gone"], summary={"epoch": 1, "final/loss": 0.3})
        assert self.replayed(run, news, EPOCHS[:1]) == []

    def test_epochs_that_are_trained_again_are_not_logged_again(self, news, messages):
        """The training goes on from a copy of epoch 1; the server has two epochs with two batches each."""
        run = Opened(earlier_folders=["gone"], summary={"epoch": 2, "batch/step": 4})
        rows = KeptRows()
        rows.past = EPOCHS[:1]
        sender = Sender(run, rows, news)
        sender.replay()
        again = [{"batch/step": 3}, {"batch/step": 4}, {"epoch": 2}]
        new = [{"batch/step": 5}, {"batch/step": 6}, {"epoch": 3}]
        for row in (*again, *new):
            sender.log(row)
        assert run.logged == new
        news.print()
        (said,) = messages
        assert said.startswith("W&B: the run has rows of epoch 2 already, which are trained again, since the training")

    @pytest.mark.parametrize(("logged", "said"), [(2, None), (3, (3, 3)), (5, (3, 5))])
    def test_the_epochs_that_are_trained_again_are_named(self, logged, said):
        rows = KeptRows()
        rows.past = [{"epoch": 1}, {"epoch": 2}]
        rows.logged = {("epoch", epoch) for epoch in range(1, logged + 1)} | {("final", 9)}
        assert rows.logged_later() == said

    def test_no_epoch_is_trained_again_where_none_is_past(self):
        """As in a trial, whose run another process has opened."""
        rows = KeptRows()
        rows.logged = {("epoch", 3)}
        assert rows.logged_later() is None

    def test_an_extended_run_logs_its_final_evaluation_again(self, news):
        run = Opened(earlier_folders=["gone"], summary={"epoch": 1, "final/loss": 0.3})
        assert self.replayed(run, news, EPOCHS[:2]) == EPOCHS[1:]

    def test_a_server_that_names_no_epoch_gets_no_row_twice(self, news):
        assert self.replayed(Opened(earlier_folders=["gone"]), news, EPOCHS[:2]) == EPOCHS[2:]

    def test_a_run_of_the_user_is_not_searched(self, news):
        run = Opened(owned=False, earlier_folders=["gone"], summary={"epoch": 9, "final/loss": 0.3})
        assert self.replayed(run, news, []) == EPOCHS[2:]

    def test_images_belong_to_the_row(self, news):
        run = Opened()
        Sender(run, KeptRows(), news).log({"epoch": 1}, lambda: {"validation/images": ["a"]})
        assert run.logged == [{"epoch": 1, "validation/images": ["a"]}]

    def test_a_row_that_wandb_refuses_is_a_warning(self, news, messages):
        def full(row: object) -> None:
            raise OSError(28, "full")

        run = Opened(wandb_run=SimpleNamespace(log=full))
        sender = Sender(run, KeptRows(), news)
        for row in EPOCHS:
            sender.log(row)
        news.print()
        assert messages == ["W&B: a row could not be logged: OSError: [Errno 28] full"]


class TestRun:
    def test_the_command_names_all_folders(self):
        run = SessionRun({"id": "abc"}, ["wandb/offline-run-1-abc", "with space/offline-run-2-abc"])
        assert run.sync_command() == "wandb sync wandb/offline-run-1-abc 'with space/offline-run-2-abc'"

    def test_the_command_asks_for_online_runs_and_for_the_id_that_the_user_chose(self):
        run = SessionRun({"id": "abc"}, ["wandb/run-1-xyz"])
        run.wandb_run = SimpleNamespace(id="xyz")  # without a server, beside another run of the process
        assert run.sync_command() == "wandb sync --include-online --id abc wandb/run-1-xyz"

    def test_a_run_has_an_id_before_it_is_open(self):
        assert len(str(SessionRun({}, []).id)) == 8
        assert SessionRun({"resume": "auto"}, []).id is None  # wandb looks for it

    def test_folders_of_the_run_are_found(self, tmp_path):
        for name in ("run-2-abc", "offline-run-1-abc-1"):
            file_of_run(tmp_path / name, [])
        run = SessionRun({"id": "abc"}, [str(tmp_path / "run-2-abc")])
        run.find_folders(tmp_path)
        assert run.folders == [str(tmp_path / "run-2-abc"), str(tmp_path / "offline-run-1-abc-1")]
        other = SessionRun({"id": "ab*"}, [])  # no pattern
        other.find_folders(tmp_path)
        assert other.folders == []


class TestEnding:
    def end(self, news: News, finish: Any, uploads: dict[str, Upload], *, owned: bool = True) -> tuple[Outcome, Ending]:
        outcome = Outcome()
        outcome.add_missing(*uploads, "rows")
        run = SimpleNamespace(
            owned=owned, disabled=False, offline=True, wandb_run=SimpleNamespace(finish=finish, id="abc")
        )
        ending = Ending(run, outcome, news, finish_timeout=60)
        ending.end(uploads, 1)
        return outcome, ending

    def test_an_upload_that_fails_is_missing_and_the_run_is_finished(self, news, messages):
        codes: list[int] = []

        def fail(run: Any) -> None:
            raise ValueError("refused")

        def finish(exit_code: int) -> None:
            codes.append(exit_code)

        uploads = {
            "best.pt": Upload(fail, lambda run: f"put {run.id}"),
            "plots": Upload(lambda run: None),
        }
        outcome, ending = self.end(news, finish, uploads)
        assert (outcome.missing, outcome.remedies) == (["best.pt"], {"best.pt": "put abc"})
        assert (codes, ending.finished) == ([1], True)
        news.print()
        assert messages == ["W&B: best.pt could not be logged: ValueError: refused"]

    def test_a_run_that_does_not_finish_in_time_may_have_lost_rows(self, news):
        def finish(exit_code: int) -> None:
            raise TimeoutError

        outcome, ending = self.end(news, finish, {})
        assert (outcome.missing, ending.finished) == (["rows"], True)

    def test_a_run_of_the_user_is_not_finished(self, news):
        outcome, ending = self.end(news, None, {}, owned=False)
        assert (outcome.missing, ending.finished) == ([], False)


class TestSaving:
    def save(self, run: SessionRun, rows: KeptRows, news: News, spare: Path) -> Outcome:
        outcome = Outcome()
        save_rows(run, rows, outcome, news, spare=spare, in_use=False, exit_code=0)
        return outcome

    def test_a_run_that_was_never_opened_has_a_file_with_all_rows(self, tmp_path, news):
        run, rows = SessionRun({"id": "abc", "project": "p", "name": "n", "group": "g"}, []), KeptRows()
        rows.past = EPOCHS[:1]
        for row in EPOCHS[1:]:
            rows.keep(row)
        assert self.save(run, rows, news, tmp_path).missing == []
        (found,) = read_runs(tmp_path)
        assert (found.id, found.project, found.name, found.group, found.exit_code) == ("abc", "p", "n", "g", 0)
        assert [row.get("epoch") for row in found.rows] == [1, 2, None]
        assert run.sync_command() == f"wandb sync {found.path.parent}"

    def test_rows_of_an_earlier_folder_are_not_saved_again(self, tmp_path, news):
        earlier = file_of_run(tmp_path / "offline-run-1-abc", EPOCHS[:1])
        run, rows = SessionRun({"id": "abc", "resume": "allow"}, []), KeptRows()
        rows.past = EPOCHS[:2]
        self.save(run, rows, news, tmp_path)
        assert run.folders[0] == earlier
        assert [logged_rows(Path(folder)) for folder in run.folders] == [{("epoch", 1)}, {("epoch", 2)}]

    def test_a_folder_of_the_same_second_is_not_overwritten(self, tmp_path, news, monkeypatch):
        monkeypatch.setattr("time.strftime", lambda *_: "20261127_120000")
        earlier = file_of_run(tmp_path / "offline-run-20261127_120000-abc", EPOCHS[:1])
        run, rows = SessionRun({"id": "abc"}, []), KeptRows()
        rows.keep(EPOCHS[1])
        self.save(run, rows, news, tmp_path)
        assert logged_rows(Path(earlier)) == {("epoch", 1)}
        assert run.folders == [f"{earlier}-1"]
        assert logged_rows(Path(run.folders[0])) == {("epoch", 2)}

    def test_rows_are_added_to_the_file_of_the_run(self, tmp_path, news):
        folder = file_of_run(tmp_path / "offline-run-1-abc", EPOCHS[:1])
        run, rows = SessionRun({"id": "abc"}, [folder]), KeptRows()
        run.wandb_run = SimpleNamespace(id="abc")
        for row in EPOCHS:
            rows.keep(row)
        self.save(run, rows, news, tmp_path)
        assert run.folders == [folder]
        assert logged_rows(Path(folder)) == {("epoch", 1), ("epoch", 2), ("final", 0)}

    def test_rows_that_no_place_takes_are_counted(self, tmp_path, news, messages):
        run, rows = SessionRun({"id": "abc"}, []), KeptRows()
        for row in EPOCHS:
            rows.keep(row)
        (tmp_path / "file").write_text("no folder")
        outcome = self.save(run, rows, news, tmp_path / "file")
        text = outcome.text(address=None, sync_command="c")
        assert text.startswith("not logged, they could not be saved: rows (3 x)")
        news.print()
        assert messages[0].startswith("W&B: 3 rows could not be saved: NotADirectoryError")


class TestLimits:
    @pytest.fixture
    def stuck(self, tmp_path: Path) -> WandbSession:
        """A session whose thread does not take anything: it was not started."""
        assert wandb.run is None
        options = {"id": "abc"}
        return WandbSession(
            options, init_timeout=1, finish_timeout=1, spare=tmp_path, describe=Origins().described, folders=["f"]
        )

    def test_images_that_wait_are_bounded(self, stuck):
        for epoch in range(1, 11):
            stuck.log({"epoch": epoch}, dict)
        assert stuck.outcome() == "not logged, wandb was too slow: images (2 x); upload with: wandb sync f"

    def test_batches_that_wait_are_bounded_and_epochs_are_not(self, stuck):
        for step in range(1, MAX_BATCH_ROWS + 4):
            stuck.log({"batch/step": step})
        stuck.log({"epoch": 1})
        assert stuck.outcome() == "not logged, wandb was too slow: batch losses (3 x); upload with: wandb sync f"
