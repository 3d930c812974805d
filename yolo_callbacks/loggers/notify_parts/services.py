"""Send a message to services through apprise, and let none of its messages show a URL."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["QUIET_THREAD", "open_services", "schemes", "send", "split"]

QUIET_THREAD = "yolo-callbacks-notify"
"""The name of the thread that sends: what apprise and urllib3 log there is dropped, since it may hold a URL."""

_SCHEME = re.compile(r"([a-z0-9]{1,20})://", re.I)  # as those of apprise; anything else may be a part of a secret
_LOGGERS = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")
_STATUS = re.compile(r"error=([1-5]\d\d)\.?$")  # at the end of a warning of apprise 2.3
_NO_CONNECTION = "A Connection error occurred"  # the beginning of one
_quiet, _lock = threading.local(), threading.Lock()


class _NoUrls(logging.Filter):
    """Drop what is logged while this package calls apprise."""

    in_flight = 0

    def filter(self, record: logging.LogRecord) -> bool:
        of_apprise = record.name == "apprise" and self.in_flight > 0  # apprise has threads of its own
        if record.name == "apprise" and getattr(_quiet, "on", False):
            _quiet.reason = _reason_of(record) or _quiet.reason
        return not (of_apprise or record.threadName == QUIET_THREAD or getattr(_quiet, "on", False))


def _reason_of(record: logging.LogRecord) -> str:
    """Return what a record says of the reason, in words of this package; `""` for nothing."""
    text = record.getMessage()
    found = _STATUS.search(text)
    if found:
        return f"HTTP status {found[1]}"
    return "no connection" if text.startswith(_NO_CONNECTION) else ""


_FILTER = _NoUrls()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # once: a logger keeps a filter once only
    with _lock:
        _FILTER.in_flight += 1
    _quiet.on, _quiet.reason = True, ""
    try:
        yield
    finally:
        _quiet.on = False
        with _lock:
            _FILTER.in_flight -= 1


def split(urls: str | Sequence[str]) -> list[str]:
    """Return single URLs: a text may hold several, with spaces or lines between them."""
    return [url for text in ([urls] if isinstance(urls, str) else urls) for url in text.split()]


def schemes(urls: Sequence[str]) -> list[str]:
    """Return the kinds of the services, such as `slack`; the rest of a URL may be a secret, its path too."""
    return [found[1] if (found := _SCHEME.match(url)) else "?" for url in urls]


def open_services(urls: Sequence[str]) -> Any:
    """Return an `apprise.Apprise` of the services.

    Raises:
        ImportError: If apprise is not installed.
        ValueError: If apprise does not take a URL; without the URL.
    """
    with _quietly(), warnings.catch_warnings():
        try:
            import apprise
        except ImportError as error:
            raise ImportError("Notify needs apprise: pip install apprise") from error
        services = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
        warnings.simplefilter("ignore", DeprecationWarning)  # apprise 2.3 imports imghdr, up to Python 3.12
        for number, url in enumerate(urls, start=1):
            if not services.add(url):
                raise ValueError(
                    f"urls must be URLs as apprise takes them, such as slack://TokenA/TokenB/TokenC; number {number} "
                    f"({schemes([url])[0]}) is none"
                )
        return services


def send(service: Any, title: str, body: str) -> str:
    """Send a message to one service, and return why it has not taken it; `""` where it has."""
    import apprise

    # Not by `Apprise.notify`, which sends in threads of a pool: what urllib3 logs there could not be dropped alone.
    with _quietly():
        try:
            if service.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT):
                return ""
        except Exception as error:  # a service of apprise may raise anything, and its text may hold the URL
            return type(error).__name__
        return _quiet.reason or "it did not accept the message"
