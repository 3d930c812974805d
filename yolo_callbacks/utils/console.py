"""Show text on any console: replace the characters that it cannot show, rather than fail on them."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["EncodableFilter", "any_text", "printable", "show_error"]


def printable(text: str, stream: Any) -> str:
    """Return a text whose characters a stream can encode, with escapes in the place of the others.

    Args:
        text: Of any characters: a name of a file that is not UTF-8 holds surrogates, which no encoding has.
        stream: Where it is to be written. One that names no encoding takes any text.
    """
    encoding = getattr(stream, "encoding", None)
    if not isinstance(encoding, str):
        return text
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # an encoding of somebody's own
        return text
    return text


def show_error(text: object) -> None:
    """Print a line to the error output, whatever it can show."""
    print(printable(str(text), sys.stderr), file=sys.stderr)


@contextlib.contextmanager
def any_text() -> Iterator[None]:
    """Let the block print any text to the console."""
    stream = sys.stdout
    reconfigure = getattr(stream, "reconfigure", None)
    errors = getattr(stream, "errors", None)
    if reconfigure is None or errors not in ("strict", "surrogateescape", None):
        yield
        return
    reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # closed in the block
            reconfigure(errors=errors)


class EncodableFilter(logging.Filter):
    """Replace in log records what the console cannot show; the record passes in any case.

    The handler of Ultralytics writes to `sys.stdout`. For a record that this cannot encode, `logging` prints a
    traceback instead of the line.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record where it is needed."""
        with contextlib.suppress(Exception):  # arguments that do not fit their message: logging reports that itself
            message = record.getMessage()
            shown = printable(message, sys.stdout)
            if shown != message:
                record.msg, record.args = shown, ()
            if record.exc_info and record.exc_info[0] is not None:
                text = record.exc_text or logging.Formatter().formatException(record.exc_info)
                shown = printable(text, sys.stdout)
                if shown != text:
                    record.exc_text = shown
        return True
