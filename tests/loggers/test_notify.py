"""Notify: each kind of message arrives, none shows a secret, and no service costs time."""

from __future__ import annotations

import json
import logging
import math
import pickle
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
from message_server import SECRET, MessageServer, message_server
from trainings import TINY, detection_metrics
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, Notify, SaveBest, attach
from yolo_callbacks.config.loading import load
from yolo_callbacks.loggers import notify
from yolo_callbacks.loggers.notify import _Watch
from yolo_callbacks.loggers.notify_parts import sender as sender_module
from yolo_callbacks.loggers.notify_parts.sender import Message, Sender
from yolo_callbacks.loggers.notify_parts.services import open_services, send
from yolo_callbacks.trainer.supervision import EventCount


@pytest.fixture
def server() -> Iterator[MessageServer]:
    with message_server() as found:
        yield found


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """All that is logged by any library, with the most detail."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter().format(record))

    root, handler = logging.getLogger(), Collector()
    levels = {name: logging.getLogger(name).level for name in ("", "apprise", "urllib3")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    logging.getLogger("ultralytics").addHandler(handler)
    yield lines
    root.removeHandler(handler)
    logging.getLogger("ultralytics").removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"env": f"json://{SECRET}"}, ValueError, "env must be the name of an environment variable$"),
        ({"env": f"mailto:user:{SECRET}@host"}, ValueError, "env must be the name of an environment variable$"),
        ({"urls": f"host/{SECRET}?from=nothing://x"}, ValueError, r"number 1 \(\?\) is none"),
        ({"urls": f"{SECRET}@x://y"}, ValueError, r"number 1 \(\?\) is none"),
        ({"env": ""}, ValueError, "env must be the name of an environment variable$"),
        ({"urls": ""}, ValueError, "urls must not be empty"),
        ({"urls": 7}, TypeError, "urls must be a string or a list of strings, received a int"),
        ({"urls": ["json://host", 7]}, TypeError, "urls must be a string or a list of strings, received a list"),
        ({"urls": f"nothing://{SECRET}"}, ValueError, r"number 1 \(nothing\) is none"),
        ({"urls": f"json://host slack:/{SECRET}"}, ValueError, r"number 2 \(\?\) is none"),
        ({"urls": "json://h", "events": "finish"}, ValueError, "events must be of start, best, .* received 'finish'"),
        ({"urls": "json://h", "events": 7}, TypeError, "events must be a string or a list of strings, received 7"),
        ({"urls": "json://h", "every": -1}, ValueError, "every must be finite and at least 0"),
        ({"urls": "json://h", "stall_after": "long"}, ValueError, "stall_after must be a duration .* received 'long'"),
        ({"urls": "json://h", "stall_after": 0}, ValueError, "stall_after must be greater than 0"),
        ({"urls": "json://h", "finish_timeout": None}, TypeError, "finish_timeout must be a number"),
        ({"env": 7}, TypeError, "env must be a string, received a int"),
    ],
)
def test_wrong_arguments(arguments, error, said, logged):
    with pytest.raises(error, match=said) as raised:
        Notify(**arguments)
    assert SECRET not in str(raised.value)
    assert not [line for line in logged if SECRET in line]


@pytest.mark.training
def test_start_best_and_end(train, scripted, server):
    scripted([0.1, 0.3, 0.2])
    model, callback = YOLO(TINY), Notify(server.url, events="all", every=0)
    attach(model, SaveBest("mAP50"), callback, strict=True)

    def arrived(trainer: Any) -> None:
        if trainer.epoch == 0:  # the next best would replace one that waits
            server.wait("new best")

    model.add_callback("on_train_batch_start", lambda trainer: arrived(trainer) if trainer.epoch else None)
    folder = train(model, epochs=3)
    end = server.wait("training finished")
    start = server.wait("training starts")
    assert start["title"] == f"{folder.name}: training starts"
    assert start["message"].startswith("3 epochs, task detect\n")
    best = [message["message"] for message in server.messages if message["title"].endswith("new best")]
    assert best[0] == "mAP50 0.1 at epoch 1 of 3"
    assert best[-1] == "mAP50 0.3 at epoch 2 of 3, 0.1 before"
    assert end["message"].startswith("finished after 3 of 3 epochs in ")
    assert "\nSaveBest: " in end["message"]
    assert "Notify" not in end["message"]
    assert server.kinds()[-1] == "training finished"


@pytest.mark.training
def test_a_stop_is_told_with_its_reason(train, scripted, server):
    scripted([0.5, 0.4])
    model = YOLO(TINY)
    attach(model, EarlyStopping("mAP50", patience=1), Notify(server.url), strict=True)
    train(model, epochs=5)
    message = server.wait("training stopped")["message"]
    assert message.startswith("stopped (EarlyStopping) after 2 of 5 epochs in ")
    assert "\nEarlyStopping: stopped at epoch 2, mAP50: no improvement in 1 check" in message
    assert server.kinds() == ["training stopped"]  # neither the start nor a best epoch, unless asked for


@pytest.mark.training
@pytest.mark.parametrize(
    ("error", "title", "said"),
    [
        (RuntimeError(f"https://user:{SECRET}@host/"), "training failed", "failed (RuntimeError) after 1 of 3 epochs"),
        (RuntimeError("CUDA out of memory"), "out of memory", "failed (RuntimeError) after 1 of 3 epochs"),
        (KeyboardInterrupt(), "training interrupted", "interrupted (Ctrl-C) after 1 of 3 epochs"),
    ],
)
def test_a_failure_is_told_without_its_text(train, scripted, server, error, title, said):
    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, Notify(server.url))

    def fail(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise error

    model.add_callback("on_train_batch_end", fail)
    with pytest.raises(type(error)):
        train(model, epochs=3)
    message = server.wait(title)
    assert message["message"].startswith(said)
    assert SECRET not in json.dumps(server.messages)


@pytest.mark.training
def test_metrics_that_are_no_numbers(train, scripted, server):
    scripted([0.1, detection_metrics(0.2, **{"val/box_loss": math.nan}), 0.3])
    model = YOLO(TINY)
    attach(model, Notify(server.url))
    train(model, epochs=3)
    assert server.wait("NaN")["message"] == "epoch 2: val/box_loss is no number"


@pytest.mark.training
def test_a_training_that_makes_no_progress(train, scripted, server):
    scripted([0.1])

    class Stalling(Callback):
        def on_train_batch_end(self, trainer):
            server.wait("no progress")

    model = YOLO(TINY)
    attach(model, Stalling(), Notify(server.url, stall_after=0.05), strict=True)
    train(model, epochs=1)
    assert server.wait("no progress")["message"] == "no batch for 0 minutes"


@pytest.mark.training
def test_single_methods_watch_for_no_stall(train, scripted, server):
    """Without a suite nobody counts the events of a training: each would seem to stall."""
    scripted([0.1, 0.2])
    model, callback = YOLO(TINY), Notify(server.url, events="all", stall_after=1e-9, every=0)
    model.add_callback("on_train_start", callback.on_train_start)

    def look(trainer: Any) -> None:
        server.wait("training starts")
        while (sender := callback._sender) is not None and not sender.sent:
            sleep(0.01)
        sender.submit(Message("best", "x: the thread goes on", "text"))
        server.wait("the thread goes on")

    model.add_callback("on_train_batch_end", look)
    train(model, epochs=2)
    assert "no progress" not in server.kinds()


@pytest.mark.training
def test_a_service_that_hangs_costs_no_time(train, scripted, server, messages):
    """The service answers only after the training is over: a training that waited for it would never end."""
    scripted([0.1, 0.2])
    server.answers.clear()
    model, callback = YOLO(TINY), Notify(server.url, events="all", every=0)
    attach(model, callback, strict=True)
    train(model, epochs=2)
    assert server.messages == []
    assert callback.outcome().startswith("0 messages sent to json")
    server.answers.set()
    server.wait("training finished")


@pytest.mark.training
def test_no_url_is_seen_anywhere(train, scripted, server, logged, capfd, monkeypatch):
    monkeypatch.setattr(sender_module, "_DELAYS", (0.0, 0.0))
    server.status = 500  # apprise and urllib3 have something to say
    scripted([0.1, 0.2])
    model, callback = YOLO(TINY), Notify(server.url, events="all", every=0)
    suite = attach(model, SaveBest("mAP50"), callback, report=True)
    assert repr(callback) == f"Notify(urls=['json://•••'], events={callback.events!r}, every=0.0)"
    assert SECRET not in repr(suite)

    def interrupt(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise KeyboardInterrupt

    model.add_callback("on_train_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=3)
    while "about 'end' could not be sent to json: HTTP status 500" not in "\n".join(logged):
        sleep(0.01)
    assert "the last one is sent after this table" in "\n".join(logged)
    folder = Path(model.trainer.save_dir)
    for path in folder.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    assert not [line for line in logged if SECRET in line]
    out, err = capfd.readouterr()
    assert SECRET not in out + err


@pytest.mark.training
def test_urls_of_a_variable(train, scripted, server, monkeypatch):
    scripted([0.1])
    callback = Notify()
    assert repr(callback) == "Notify()"
    model = YOLO(TINY)
    attach(model, callback)
    monkeypatch.delenv("NOTIFY_URLS", raising=False)
    with pytest.raises(ValueError, match="NOTIFY_URLS is not set"):
        train(model, epochs=1)
    monkeypatch.setenv("NOTIFY_URLS", f"{server.url}\n{server.url}/second")
    model = YOLO(TINY)
    attach(model, callback)
    train(model, epochs=1)
    while len(server.messages) < 2:
        sleep(0.01)
    assert SECRET.encode() not in pickle.dumps(callback)
    assert callback.outcome().endswith("sent to ${NOTIFY_URLS}")


def test_urls_of_a_file(tmp_path, server, monkeypatch):
    monkeypatch.setenv("HOOK", server.url)
    path = tmp_path / "callbacks.yaml"
    path.write_text("callbacks:\n  - Notify: {urls: '${HOOK}', events: [end]}\n")
    (callback,) = load(str(path)).callbacks
    assert repr(callback) == "Notify(urls=${HOOK}, events=('end',))"
    assert callback.outcome() == "0 messages sent to ${HOOK}"
    monkeypatch.setenv("HOOK", f"nothing://{SECRET}")
    with pytest.raises(ValueError, match="HOOK") as raised:
        load(str(path))
    assert SECRET not in str(raised.value)


def test_apprise_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(ImportError, match="pip install apprise"):
        Notify("json://host")


# The thread alone -----------------------------------------------------------------------------------------------------


class Service:
    """Takes messages at once, or fails the first ones."""

    def __init__(self, failures: int = 0) -> None:
        self.titles: list[str] = []
        self.failures = failures

    def send(self, title: str, text: str) -> str:
        self.titles.append(title)
        self.failures -= 1
        return "HTTP status 500" if self.failures >= 0 else ""


def messages_of(kind: str, count: int) -> list[Message]:
    return [Message(kind, f"{kind} {number}", "") for number in range(count)]


def test_the_newest_of_each_kind_waits_for_its_time():
    service = Service()
    sender = Sender([service.send], every=1000.0, finish_timeout=1.0)
    sender.submit(Message("start", "start 0", ""))
    while not sender.sent:
        pass
    for message in (*messages_of("best", 5), *messages_of("nan", 3)):
        sender.submit(message)
    assert service.titles == ["start 0"]
    sender.submit(Message("end", "end 0", "", urgent=True))
    sender.close()
    assert sender.wait(30)
    assert service.titles == ["start 0", "best 4", "nan 2", "end 0"]
    assert (sender.sent, sender.failed) == (4, 0)


@pytest.mark.parametrize(("failures", "sent", "failed", "tried"), [(2, 1, 0, 3), (3, 0, 1, 3)])
def test_a_message_is_tried_three_times(monkeypatch, failures, sent, failed, tried):
    monkeypatch.setattr(sender_module, "_DELAYS", (0.0, 0.0))
    service = Service(failures)
    sender = Sender([service.send], every=0.0, finish_timeout=1.0)
    sender.submit(Message("end", "end", "", urgent=True))
    sender.close()
    assert sender.wait(30)
    assert (sender.sent, sender.failed, len(service.titles)) == (sent, failed, tried)


def test_a_service_that_has_taken_a_message_gets_it_once(monkeypatch):
    monkeypatch.setattr(sender_module, "_DELAYS", (0.0, 0.0))
    services = [Service(failures=2), Service(), Service(failures=9)]
    sender = Sender([service.send for service in services], every=0.0, finish_timeout=1.0)
    sender.submit(Message("end", "end", "", urgent=True))
    sender.close()
    assert sender.wait(30)
    assert [len(service.titles) for service in services] == [3, 1, 3]
    assert (sender.sent, sender.failed) == (0, 1)


def test_a_service_that_raises_keeps_no_message_from_the_others(server):
    class Raising:
        def notify(self, **_: Any) -> bool:
            raise OSError(SECRET)

    taken = [send(service, "title", "x: text") for service in [Raising(), *open_services([server.url])]]
    assert taken == ["OSError", ""]


@pytest.mark.parametrize(("status", "reason"), [(500, "HTTP status 500"), (404, "HTTP status 404"), (200, "")])
def test_the_reason_is_the_status_of_the_service(server, status, reason):
    server.status = status
    assert [send(service, "title", "text") for service in open_services([server.url])] == [reason]


def test_the_reason_of_a_service_that_is_away():
    assert [send(service, "t", "x") for service in open_services([f"json://127.0.0.1:9/{SECRET}"])] == ["no connection"]


def test_the_reason_of_a_service_that_says_nothing():
    assert send(SimpleNamespace(notify=lambda **_: False), "t", "x") == "it did not accept the message"


def test_a_message_that_is_lost_is_told_once_for_a_service_that_stays_away(monkeypatch, messages):
    monkeypatch.setattr(sender_module, "_DELAYS", (0.0, 0.0))
    sender = Sender([Service(failures=99).send], every=0.0, finish_timeout=1.0, to="json")
    for number, urgent in enumerate((False, False, True)):
        sender.submit(Message("end" if urgent else "best", "title", "", urgent))
        while sender.failed == number:
            sleep(0.001)
    sender.close()
    assert sender.wait(30)
    assert [line for line in messages if "Notify" in line] == [
        "Notify: the message about 'best' could not be sent to json: HTTP status 500",
        "Notify: the message about 'end' could not be sent to json: HTTP status 500",
    ]


def test_an_exit_before_the_last_attempt_tells_the_reason(monkeypatch, messages):
    asked, answer = threading.Event(), threading.Event()

    def hang(title: str, text: str) -> str:
        asked.set()
        answer.wait(30)
        return ""

    sender = Sender([hang], every=0.0, finish_timeout=0.0, to="json")
    sender.submit(Message("end", "title", "", urgent=True))
    assert asked.wait(30)
    sender._join()
    answer.set()
    sender.close()
    assert sender.wait(30)
    (line,) = [line for line in messages if "Notify" in line]
    assert line.startswith("Notify: the message about 'end' could not be sent to json: no answer yet; the process ends")


def test_a_thread_that_nobody_closes_ends():
    sender = Sender([Service().send], every=0.0, finish_timeout=1.0)
    sender.close_in(0.0)
    assert sender.wait(30)


def test_a_message_after_the_thread_has_ended_is_sent():
    """The report or an upload at the end of a run may take longer than the thread waits."""
    service = Service()
    sender = Sender([service.send], every=1000.0, finish_timeout=1.0)
    sender.close_in(0.0)
    assert sender.wait(30)
    sender.submit(Message("end", "end", "", urgent=True))
    sender.close()
    assert sender.wait(30)
    assert service.titles == ["end"]


def test_the_exit_waits_once_for_all_senders(monkeypatch):
    now, waited = [100.0], []
    monkeypatch.setattr(sender_module, "_exit_began", cache(lambda: now[0]))
    monkeypatch.setattr(sender_module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def wait(self: Sender, seconds: float) -> bool:
        waited.append(seconds)
        now[0] += seconds
        return False

    monkeypatch.setattr(Sender, "wait", wait)
    senders = [Sender([Service().send], every=0.0, finish_timeout=10.0) for _ in range(3)]
    for sender in senders:
        sender._join()
    assert waited == [10.0, 0.0, 0.0]
    for sender in senders:
        sender.close()


def test_a_stall_is_told_once_until_the_training_goes_on(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(notify, "time", SimpleNamespace(monotonic=lambda: clock.now))
    events = EventCount()
    run: Any = SimpleNamespace(supervision=SimpleNamespace(events=events), save_dir=Path("runs/first"))
    watch = _Watch(run, 600.0)

    def at(seconds: float) -> str | None:
        clock.now = seconds
        message = watch.message()
        return message and f"{message.title}, {message.text}"

    assert [at(seconds) for seconds in (1, 600)] == [None, None]
    assert at(601) == "first: no progress, no batch for 10 minutes"
    assert at(5000) is None
    events.number += 1
    assert at(5001) is None
    assert at(5601) == "first: no progress, no batch for 10 minutes"
    watch.over = True
    events.number += 1
    assert [at(9000), at(99999)] == [None, None]
