"""Send messages about a training to chats, phones and mail."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.monitor_parts.best import Best, best_of
from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.decisions.mishaps import Mishaps
from yolo_callbacks.decisions.run_health import ended_state
from yolo_callbacks.loggers.notify_parts.sender import Message, Sender
from yolo_callbacks.loggers.notify_parts.services import open_services, schemes, send, split
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.state.summary import relative_outcome
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.durations import validate_duration
from yolo_callbacks.utils.memory import is_out_of_memory
from yolo_callbacks.utils.origins import origins_of
from yolo_callbacks.utils.redaction import MASK, clean_text

__all__ = ["Notify"]

_EVENTS = ("start", "best", "stall", "nan", "oom", "failure", "end")
_DEFAULT = ("stall", "nan", "oom", "failure", "end")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINGER = 60.0  # seconds
_MOST = 3000  # characters of a message: some services refuse longer ones


class Notify(Callback):
    """Send messages about a training through apprise: Slack, Telegram, Discord, Teams, mail, ntfy, a webhook.

    A thread sends them. Training never waits for a service: one that hangs or is away costs no time, and its messages
    are lost after three attempts, with a warning. When the process exits, it waits for the last message, at most
    `finish_timeout`.

    A URL of a service is a secret, its path too. Keep it in the environment: `Notify()` reads `NOTIFY_URLS`; in YAML
    write `urls: ${SLACK_URL}`. No message, log, state or file shows a URL, also not one that is given in code. A
    message about a failure has the class of the exception, not its text, which may hold anything.

    Args:
        urls: One URL as apprise takes it, a list of them, or a text with spaces between them. Defaults to `None`, which
            reads those of `env` when the training starts.
        env: The name of an environment variable with the URLs, for a callback without `urls`. Defaults to
            `"NOTIFY_URLS"`.
        events: What to send messages about, of `"start"`, `"best"` (a new best epoch), `"stall"` (no progress for
            `stall_after`), `"nan"`, `"oom"` (out of memory), `"failure"` and `"end"` (with the table); `"all"` is each
            of them. Defaults to `('stall', 'nan', 'oom', 'failure', 'end')`.
        every: The least seconds between two messages, or a duration such as `"5m"`. Those about the end are
            sent at once; of others that wait the newest of each kind is sent. Defaults to `60.0`.
        stall_after: The seconds without a batch, of training or validation, after which the training stalls, or a
            duration such as `"1h"`. Leave `"stall"` out of `events` for no such message. Defaults to `1800.0`.
        finish_timeout: How many seconds the exit of the process waits for the last message at most, or a duration.
            Defaults to `10.0`.

    Attributes:
        sent: How many messages were sent in this run.
        failed: How many could not be sent.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `urls` is empty, apprise does not take one of them, an event is unknown, or a number is
            negative or no duration, or `stall_after` is 0; before the first epoch, if there are no URLs.
        ImportError: If apprise is not installed.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import Notify, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50"), Notify("json://localhost/hook", events="all"))

    Logs nothing. Writes no file.
    """

    is_logger: ClassVar[bool] = True  # the others have decided on the epoch
    needs_start: ClassVar[bool] = False

    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        *,
        env: str = "NOTIFY_URLS",
        events: str | Sequence[str] = _DEFAULT,
        every: float | str = 60.0,
        stall_after: float | str = 1800.0,
        finish_timeout: float | str = 10.0,
    ) -> None:
        self._urls = _validate_urls(urls)
        self.env = _validate_env(env)
        self.events = _validate_events(events)
        self.every = validate_duration("every", every, minimum=0.0)
        self.stall_after = validate_duration("stall_after", stall_after)
        self.finish_timeout = validate_duration("finish_timeout", finish_timeout, minimum=0.0)
        self._sender: Sender | None = None
        self._watch: _Watch | None = None
        if self._urls:
            open_services(self._urls)  # names a mistake at once
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker gets: a thread belongs to its process."""
        return {**self.__dict__, "_sender": None, "_watch": None}

    def _argument(self, name: str) -> Any:
        if name == "urls":
            return [f"{scheme}://{MASK}" for scheme in schemes(self._urls)] or None
        return getattr(self, name)

    def reset(self) -> None:
        """Forget the last run."""
        self._close()
        self.sent = self.failed = 0
        self._mishaps = Mishaps()
        self._best: Best | None = None
        self._name = ""
        self._last_follows = False

    def validate(self, run: TrainingRun) -> bool:
        """Check that there are URLs in the environment."""
        if run.is_main and not self._urls:
            self._services()
        return True

    def _unmet_needs(self) -> str:
        try:
            self._services()
        except (ValueError, ImportError) as error:
            return str(error)
        return ""

    # Events -----------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Any) -> None:
        """Start the thread, and send a message about the start."""
        run = TrainingRun.of(trainer)
        self._open(run)
        if run.completed_epochs:
            text = f"resumed after epoch {run.completed_epochs} of {run.planned_epochs}"
        else:
            text = f"{counted(run.planned_epochs, 'epoch')}, task {run.task}"
        self._submit("start", "training starts", f"{text}\n{clean_text(str(run.save_dir))}")

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Send a message where an epoch is trained again."""
        run = TrainingRun.of(trainer)
        self._open(run)
        self._submit_mishap(self._mishaps.start_epoch(run.epoch, run.batch_size))

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Note that the batches of the epoch are trained."""
        self._mishaps.end_batches(TrainingRun.of(trainer).epoch)

    def on_val_batch_end(self, validator: Any) -> None:
        """Do nothing: a suite counts only the events that a callback listens to, and these are progress."""

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Send messages about a new best epoch, and about metrics that become NaN."""
        self._submit_mishap(self._mishaps.of_metrics(record.epoch, record.metrics))
        best, before = best_of(run.supervision.members), self._best
        self._best = best
        if best is not None and best.epoch == record.epoch:
            was = f", {before.value:.4g} before" if before is not None else ""
            text = f"{best.monitor} {best.value:.4g} at epoch {best.epoch} of {record.epochs}{was}"
            self._submit("best", "new best", text)

    def on_run_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """Send how the run has ended, and let the thread end."""
        state, reason = ended_state(summary["status"], summary["stopped_by"])
        epochs = f"{summary['epochs']} of {counted(summary['planned_epochs'], 'epoch')}"
        why = f" ({clean_text(reason)})" if reason else ""
        rows = [
            f"{row['name']}: {clean_text(relative_outcome(row, summary))}"
            for row in summary["callbacks"]
            if row["outcome"] and not row["of_report"] and row["name"].split()[0] != type(self).__name__
        ]
        text = "\n".join([f"{state}{why} after {epochs} in {summary['seconds']:.0f} s", *rows])
        kind = "end"
        if state == "failed":
            kind = "oom" if is_out_of_memory(run.failure) and "oom" in self.events else "failure"
        titles = {"oom": "out of memory", "failure": "training failed", "end": f"training {state}"}
        self._submit(kind, titles[kind], text, urgent=True)
        self._last_follows = False
        self._close()

    def finalize(self, run: TrainingRun) -> None:
        """Take over what was sent, for the table; watch no longer."""
        self._count()
        if self._sender is not None and self._watch is not None:
            self._watch.over = True
            failed = isinstance(run.failure, Exception)
            self._last_follows = not {"failure", "oom"}.isdisjoint(self.events) if failed else "end" in self.events
            self._sender.close_in(_LINGER)  # no `on_run_end` follows where a wrong argument has ended the run

    def outcome(self) -> str:
        """Return how many messages were sent until the end of the run."""
        self._count()
        failed = f", {counted(self.failed, 'message')} could not be sent" if self.failed else ""
        follows = ", the last one is sent after this table" if self._last_follows else ""
        return f"{counted(self.sent, 'message')} sent to {' and '.join(self._shown_services())}{failed}{follows}"

    # Parts ------------------------------------------------------------------------------------------------------------

    def _shown_services(self) -> list[str]:
        variables = origins_of(self).variables.get("urls", ()) if self._urls else [self.env]
        return [f"${{{name}}}" for name in variables] or schemes(self._urls)

    def _services(self) -> Any:
        """Return the services.

        Raises:
            ValueError: If the variable is not set, or apprise does not take a URL.
        """
        urls = self._urls or split(os.environ.get(self.env, ""))
        if not urls:
            raise ValueError(f"urls must be given, or be in the environment: {self.env} is not set")
        return open_services(urls)

    def _open(self, run: TrainingRun) -> None:
        if self._sender is not None:
            return
        services, watch = self._services(), _Watch(run, self.stall_after)
        self._watch = watch
        self._name = run.save_dir.name
        self._sender = Sender(
            [partial(send, service) for service in services],
            every=self.every,
            finish_timeout=self.finish_timeout,
            # A suite counts the events. Without one, as with `model.add_callback`, every training would seem to stall.
            to=" and ".join(self._shown_services()),
            idle=watch.message if "stall" in self.events and run.supervision.members else lambda: None,
        )

    def _submit_mishap(self, mishap: tuple[str, str] | None) -> None:
        if mishap is not None:
            kind, text = mishap
            self._submit(kind, "NaN" if kind == "nan" else "out of memory", text)

    def _submit(self, kind: str, title: str, text: str, *, urgent: bool = False) -> None:
        if kind in self.events and self._sender is not None:
            self._sender.submit(Message(kind, f"{self._name}: {title}", text[:_MOST], urgent))

    def _count(self) -> None:
        if self._sender is not None:
            self.sent, self.failed = self._sender.sent, self._sender.failed

    def _close(self) -> None:
        if self._sender is not None:
            self._count()
            self._sender.close()
        self._sender = self._watch = None


class _Watch:
    """Notice in a thread that a training makes no progress: no event of it for some time.

    Args:
        run: The training.
        after: The seconds without progress.

    Attributes:
        over: Whether the training is over.
    """

    def __init__(self, run: TrainingRun, after: float) -> None:
        # Not the run: it would keep the trainer in memory as long as the thread waits for a service.
        self._count = run.supervision.events
        self._name, self._after = run.save_dir.name, after
        self.over = False
        self._seen, self._since, self._reported = -1, time.monotonic(), False

    def message(self) -> Message | None:
        """Return a message once, where the training has stalled; again after it has gone on."""
        now = time.monotonic()
        if self._seen != self._count.number:
            self._seen, self._since, self._reported = self._count.number, now, False
        if self.over or self._reported or now - self._since < self._after:
            return None
        self._reported = True
        minutes = (now - self._since) / 60
        return Message("stall", f"{self._name}: no progress", f"no batch for {minutes:.0f} minutes")


def _validate_urls(urls: object) -> list[str]:
    """Return the URLs; no message shows one."""
    if urls is None:
        return []
    if not isinstance(urls, (str, list, tuple)) or not all(isinstance(url, str) for url in urls):
        raise TypeError(f"urls must be a string or a list of strings, received a {type(urls).__name__}")
    found = split(urls)
    if not found:
        raise ValueError("urls must not be empty")
    return found


def _validate_env(env: object) -> str:
    if not isinstance(env, str):
        raise TypeError(f"env must be a string, received a {type(env).__name__}")
    if not _VARIABLE.fullmatch(env):  # not shown: it may be a URL or a token
        raise ValueError("env must be the name of an environment variable")
    return env


def _validate_events(events: object) -> tuple[str, ...]:
    if events == "all":
        return _EVENTS
    if not isinstance(events, (str, list, tuple)):
        raise TypeError(f"events must be a string or a list of strings, received {events!r}")
    chosen = (events,) if isinstance(events, str) else tuple(events)
    for event in chosen:
        if event not in _EVENTS:
            raise ValueError(f"events must be of {', '.join(_EVENTS)}, or 'all', received {event!r}")
    return chosen
