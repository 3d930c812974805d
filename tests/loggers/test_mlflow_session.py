"""The thread that sends to MLflow: nothing lost, nothing twice, no wait beyond the limits, whatever the server does."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow_runs import read_runs
from mlflow_server import Gate

from yolo_callbacks.loggers.mlflow_parts import limits
from yolo_callbacks.loggers.mlflow_parts.opened_run import OpenedRun, open_run
from yolo_callbacks.loggers.mlflow_parts.outbox import Outbox, Task
from yolo_callbacks.loggers.mlflow_parts.outcome import Outcome
from yolo_callbacks.loggers.mlflow_parts.registry import is_better, register
from yolo_callbacks.loggers.mlflow_parts.session import MlflowSession, Upload
from yolo_callbacks.loggers.mlflow_parts.target import KEY_TAG, Target

pytest.importorskip("mlflow")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file:{tmp_path}/store"


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


def target(uri: str, **more: Any) -> Target:
    return Target(uri, "crowns", "Ultralytics", "first", "a" * 32, tags={KEY_TAG: "a" * 32}, **more)


def session(uri: str, *, init_timeout: float = 5, finish_timeout: float = 20, **more: Any) -> MlflowSession:
    return MlflowSession(target(uri, **more), init_timeout=init_timeout, finish_timeout=finish_timeout, describe=str)


def row(epoch: int, value: float = 0.5) -> Task:
    def send(run: OpenedRun) -> None:
        if epoch not in run.arrived:
            run.log_row({"a": value, "epoch": epoch}, epoch, 1000 + epoch)

    return Task(f"epoch {epoch}", send, epoch=epoch)


def file_upload(path: Path) -> Upload:
    return Upload(path.name, lambda run: run.client.log_artifact(run.run_id, str(path)))


# A store that works ---------------------------------------------------------------------------------------------------


def test_rows_uploads_and_status_arrive(uri, tmp_path):
    (tmp_path / "best.pt").write_bytes(b"weights")
    opened = session(uri)
    opened.start()
    for epoch in (1, 2, 3):
        opened.submit(row(epoch, float("nan") if epoch == 2 else 0.5))
    opened.close([file_upload(tmp_path / "best.pt")], "FINISHED")
    (run,) = read_runs(uri)
    assert (run.status, run.name, run.experiment, run.id) == ("FINISHED", "first", "crowns", opened.run_id)
    assert run.steps("a") == run.steps("epoch") == [1, 2, 3]
    assert run.points["a"][0] == (1, 0.5)
    assert run.points["a"][1][1] != run.points["a"][1][1]
    assert run.artifacts == ["best.pt"]
    assert opened.outcome() == f"run {run.id} in {uri}"


def test_a_resumed_run_gets_only_what_has_not_arrived(uri):
    first = session(uri)
    first.start()
    first.submit(row(1))
    first.submit(row(2))
    first.close([], "KILLED")
    second = session(uri, run_id=first.run_id, continues=True)
    for epoch in (1, 2, 3):
        second.submit(row(epoch))
    second.start()
    second.close([], "FINISHED")
    (run,) = read_runs(uri)
    assert (run.steps("a"), run.status) == ([1, 2, 3], "FINISHED")


def test_a_resumed_run_is_found_where_a_kill_came_before_its_id_was_known(uri):
    first = session(uri)
    first.start()
    first.submit(row(1))
    first.close([], "KILLED")
    second = session(uri, continues=True)
    second.submit(row(2))
    second.start()
    second.close([], "FINISHED")
    assert [run.steps("a") for run in read_runs(uri)] == [[1, 2]]


@pytest.mark.parametrize("gone", ["deleted", "another store"])
def test_a_resumed_run_that_is_gone_is_made_again_with_all_rows(uri, gone, tmp_path):
    import mlflow

    first = session(uri)
    first.start()
    first.submit(row(1))
    first.close([], "KILLED")
    if gone == "deleted":
        mlflow.MlflowClient(tracking_uri=uri).delete_run(first.run_id)
    else:
        uri = f"file:{tmp_path}/other"
    second = session(uri, run_id=first.run_id, continues=True)
    for epoch in (1, 2):
        second.submit(row(epoch))
    second.start()
    second.close([], "FINISHED")
    (run,) = read_runs(uri)
    assert run.id != first.run_id
    assert run.steps("a") == [1, 2]


def test_the_run_of_the_user_is_used_and_left_open(uri):
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    users = client.create_run(client.create_experiment("theirs"), run_name="theirs", tags={"mlflow.user": "her"})
    client.log_param(users.info.run_id, "lr0", "mine")
    opened = session(uri, active=users.info.run_id)
    tags = {"mlflow.user": "us", "yolo_callbacks.task": "detect"}
    opened.submit(Task("parameters", lambda run: run.describe({"lr0": "0.01", "epochs": "3"}, tags)))
    opened.submit(row(1))
    opened.start()
    opened.close([], "FINISHED")
    (run,) = read_runs(uri)
    assert (run.id, run.status, run.steps("a")) == (users.info.run_id, "RUNNING", [1])
    assert run.parameters == {"lr0": "mine", "epochs": "3"}
    assert (run.tags["mlflow.user"], run.tags["yolo_callbacks.task"]) == ("her", "detect")


@pytest.mark.parametrize("nested", [None, False])
def test_a_second_training_in_a_run_of_the_user_is_its_child(uri, messages, nested):
    import mlflow

    user = mlflow.MlflowClient(tracking_uri=uri).create_run("0").info.run_id
    for key, resumed in (("a", False), ("b", False), ("b", True), ("a", True)):
        goal = Target(
            uri, None, "Ultralytics", key, key * 32, active=user, nested=nested, continues=resumed,
            tags={KEY_TAG: key * 32},
        )  # fmt: skip
        opened = MlflowSession(goal, init_timeout=5, finish_timeout=20, describe=str)
        opened.start()
        opened.submit(Task("parameters", lambda run, goal=goal: run.describe({}, goal.tags)))
        for epoch in (1, 2)[: 2 if resumed else 1]:
            opened.submit(row(epoch))
        opened.close([], "FINISHED")
    found = {run.id: run.steps("epoch") for run in read_runs(uri)}
    if nested is False:
        assert found == {user: [1, 1, 2]}  # each resume finds the steps of both
        return
    assert found.pop(user) == [1, 2]
    assert list(found.values()) == [[1, 2]]
    assert sum("epochs of another training" in message for message in messages) == 2


def test_a_nested_run_has_its_parent_and_its_experiment(uri):
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    parent = client.create_run(client.create_experiment("theirs"))
    plain = Target(uri, None, "Ultralytics", "trial", "b" * 32, active=parent.info.run_id, nested=True)
    run = open_run(plain, search=False)
    found = client.get_run(run.run_id)
    assert run.owned
    assert found.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert found.info.experiment_id == parent.info.experiment_id


def test_more_scalars_than_a_request_may_have(uri):
    run = open_run(target(uri), search=False)
    run.log_row({"epoch": 4.0, **{f"per_class/{index}": float(index) for index in range(1500)}}, 4, 1)
    run.describe({f"p{index}": str(index) for index in range(250)}, {"yolo_callbacks.task": "detect"})
    found = run.client.get_run(run.run_id).data
    assert len(found.metrics) == 1501
    assert len(found.params) == 250


def test_a_task_that_mlflow_refuses_is_named_and_the_next_one_is_sent(uri):
    opened = session(uri)
    opened.submit(Task("config.json", lambda run: run.client.log_param(run.run_id, "what?!", "1")))
    opened.submit(row(1))
    opened.start()
    opened.close([], "FINISHED")
    (run,) = read_runs(uri)
    assert run.steps("a") == [1]
    assert opened.outcome().startswith("not logged: config.json; run ")


# A server that does not work ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["401", "403", "500", "hang", "drop", "refuse"])
def test_a_server_that_fails_costs_the_timeouts_at_most(gate, fault, messages, tmp_path):
    """What does not arrive is named. Without the limits on requests, each of them would wait for minutes."""
    (tmp_path / "best.pt").write_bytes(b"weights")
    url = gate.url
    gate.fault = fault
    if fault == "refuse":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
    opened = session(url, init_timeout=1, finish_timeout=1)
    opened.start()
    opened.submit(row(1))
    opened.submit(row(2))
    assert opened.run_id is None
    opened.close([file_upload(tmp_path / "best.pt")], "FINISHED")
    opened._thread.join(20)  # it is in its last request, which ends
    assert not opened._thread.is_alive()
    assert opened.outcome() == "not logged: rows of epochs 1-2, best.pt, status FINISHED; no run was opened"
    opened.print_news()
    text = "\n".join(messages)
    assert "MLflow: the run could not be opened yet, it is tried again" in text
    assert "MLflow: what was not logged within 1 s (finish_timeout) is given up" in text


def test_no_password_in_a_message(gate, messages):
    opened = session(gate.url.replace("http://", "http://user:sesame@"), init_timeout=1, finish_timeout=1)
    opened.start()
    opened.submit(row(1))
    opened.close([], "FINISHED")
    assert "could not be opened" in "\n".join(messages)
    assert "sesame" not in "\n".join(messages) + opened.outcome()


def test_no_password_in_a_message_that_quotes_the_address(messages):
    opened = session("unknown://user:ses,ame@host", finish_timeout=1)
    opened.start()
    opened.submit(row(1))
    opened._opened.wait(1)
    opened.close([], "FINISHED")
    assert "unknown://host" in "\n".join(messages)
    assert "ame" not in "\n".join(messages).replace("named", "")


def test_limits_hold_for_one_thread_and_change_no_environment(monkeypatch):
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    limits.apply_limits()
    before, seen = dict(os.environ), []
    with limits.limited(3, retries=9):
        thread = threading.Thread(target=lambda: seen.append(MLFLOW_HTTP_REQUEST_TIMEOUT.get()))
        thread.start()
        thread.join()
        assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 3
        assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 5  # what the user has set is less
        assert dict(os.environ) == before
    assert seen == [MLFLOW_HTTP_REQUEST_TIMEOUT.get()] == [MLFLOW_HTTP_REQUEST_TIMEOUT.default]
    assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 5


# Without a store ------------------------------------------------------------------------------------------------------


def test_the_head_of_the_outbox_waits_for_its_next_attempt():
    outbox = Outbox()
    outbox.put(row(1))
    outbox.put(row(2))
    head = outbox.next()
    outbox.delay()
    assert outbox.is_failing
    outbox.close(60)  # at the end the pause is over
    assert outbox.next() is head
    outbox.remove(head)
    assert not outbox.is_failing
    assert outbox.next().epoch == 2
    outbox.close(0)
    assert outbox.next() is None
    assert [task.epoch for task in outbox.left()] == [2]


def test_the_outbox_is_bounded(monkeypatch):
    monkeypatch.setattr("yolo_callbacks.loggers.mlflow_parts.outbox._MOST_TASKS", 2)
    outbox = Outbox()
    assert [outbox.put(row(epoch)) for epoch in (1, 2, 3)] == [True, True, False]


def test_images_wait_for_a_few_epochs_only(gate):
    opened = session(gate.url)  # not started: nothing is sent
    for _ in range(10):
        opened.submit(Task("images", lambda run: None, lasts=False))
    assert opened.outcome().startswith("not logged: images;")


def test_where_nothing_arrived_the_line_counts():
    outcome = Outcome()
    outcome.add_missing(*(f"plots/{number}.png" for number in range(22)))
    outcome.add_lost([row(1), row(2)])
    assert outcome.text() == "nothing arrived: 23 items, first rows of epochs 1-2; no run was opened"
    outcome.place = "run a in b"  # what is missing in a run is named
    assert "plots/21.png; run a in b" in outcome.text()


def test_the_line_names_ranges_of_epochs():
    outcome = Outcome()
    outcome.add_lost(row(epoch) for epoch in (1, 2, 3, 7, 9, 10))
    outcome.add_missing("best.pt")
    outcome.place = "run a in b"
    assert outcome.text() == "not logged: rows of epochs 1-3, 7, 9-10, best.pt; run a in b"


@pytest.mark.parametrize(
    ("new", "old", "better"),
    [
        ({"monitor": "mAP50", "score": "0.5"}, {"monitor": "mAP50", "score": "0.4"}, True),
        ({"monitor": "mAP50", "score": "0.4"}, {"monitor": "mAP50", "score": "0.4"}, False),
        ({"monitor": "val/loss", "score": "0.4"}, {"monitor": "val/loss", "score": "0.5"}, True),
        ({"monitor": "mAP50", "score": "0.9"}, {"monitor": "recall", "score": "0.4"}, False),
        ({"monitor": "mAP50", "score": "nan"}, {"monitor": "mAP50", "score": "0.4"}, False),
        ({"monitor": "mAP50", "score": "0.1"}, {}, True),
        ({}, {"monitor": "mAP50", "score": "0.4"}, False),
    ],
)
def test_which_version_is_better(new, old, better):
    assert is_better(new, old) is better


def test_the_alias_stays_with_the_better_version(uri):
    run = open_run(target(uri), search=False)
    said = [register(run, "crowns", "model", {"monitor": "fitness", "score": score}) for score in (0.5, 0.3, 0.7)]
    assert said == [
        "crowns version 1 is 'best'",
        "crowns version 2, version 1 stays 'best'",
        "crowns version 3 is 'best'",
    ]
    assert int(run.client.get_model_version_by_alias("crowns", "best").version) == 3
    second = run.client.get_model_version("crowns", 2)
    assert (second.aliases, second.tags["score"], second.run_id) == ([], "0.3", run.run_id)
    assert second.source.endswith(f"{run.run_id}/artifacts/model")


def test_a_fork_leaves_the_run_to_its_parent(uri):
    opened = session(uri)
    opened._pid = -1
    opened.close([], "FINISHED")
    assert opened.inherited
    assert opened.wait_for_run() is None
    assert read_runs(uri) == []
