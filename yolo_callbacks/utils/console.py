"""Print text on any console: characters that the console cannot encode are replaced by escapes."""

from __future__ import annotations

import contextlib
import importlib
import logging
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

__all__ = [
    "FRESH_LINE",
    "EncodableFilter",
    "FreshLineFilter",
    "any_text",
    "broken",
    "console_width",
    "display_html",
    "listed",
    "printable",
    "show_error",
    "wrapped",
]


_MIN_ROOM = 24  # in a narrower column a text is harder to read than in one long line


def printable(text: str, stream: Any) -> str:
    """Return a text with escapes in place of the characters that a stream cannot encode.

    Args:
        text: Any text. The name of a file that is not UTF-8 contains surrogates, which no encoding has.
        stream: The stream to which the text will be written. A stream without an encoding accepts any text.
    """
    encoding = getattr(stream, "encoding", None)
    if not isinstance(encoding, str):
        return text
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # the stream names an encoding that Python does not know
        return text
    return text


def console_width() -> int | None:
    """Return how many characters fit in a line of the console; None if the output goes to a file or a pipe."""
    try:
        interactive = sys.stdout.isatty()
    except (AttributeError, ValueError):  # no output, or a closed one
        interactive = False
    return shutil.get_terminal_size((0, 0)).columns or None if interactive else None


def wrapped(parts: Iterable[str], width: int | None) -> str:
    """Return parts of a sentence with spaces between them; no part is broken.

    Args:
        parts: The parts.
        width: The characters in a line, None for one line. Lines after the first one are indented.
    """
    lines: list[str] = []
    for part in parts:
        if lines and (width is None or len(lines[-1]) + 1 + len(part) < width):
            lines[-1] += f" {part}"
        else:
            lines.append(f"  {part}" if lines else part)
    return "\n".join(lines)


def listed(names: Sequence[str], end: str = "") -> list[str]:
    """Return names as parts of a sentence for `wrapped`, with commas between them and `end` after the last one."""
    return [*(f"{name}," for name in names[:-1]), *(f"{name}{end}" for name in names[-1:])]


def broken(start: str, text: str, width: int | None, *, last: str = "") -> list[str]:
    """Return a text in lines of at most `width` characters; no word of it, such as a path, is broken.

    Args:
        start: What is before the text, and empty in the second line and those after it.
        text: The text.
        width: The characters in a line, None if they are not known.
        last: What follows the text and is not broken, so that it can be copied, such as a command.
    """
    room = (width or 0) - len(start) - 1
    if room < _MIN_ROOM:
        return [f"{start}{text}{last}".rstrip()]
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    lines += [last] if last or not lines else []
    return [f"{' ' * len(start) if number else start}{line}".rstrip() for number, line in enumerate(lines)]


def display_html(make_html: Callable[[], str], text: str) -> bool:
    """Display HTML where this process is the kernel of a notebook; return whether it did.

    IPython is never imported for it: a kernel has imported it already.

    Args:
        make_html: Returns the HTML. Called in a notebook only.
        text: The same as text, for a notebook that shows no HTML.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    # Google Colab's shell is a subclass.
    if not any(each.__name__ == "ZMQInteractiveShell" for each in type(shell).__mro__):
        return False
    try:
        importlib.import_module("IPython.display").display({"text/html": make_html(), "text/plain": text}, raw=True)
    except Exception:  # a front end may have any fault: the text is logged then
        return False
    return True


def show_error(text: object) -> None:
    """Print a line to the error output; replace characters that it cannot encode."""
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
    """A logging filter that replaces what the console cannot encode. It lets every record pass.

    The handler of Ultralytics writes to `sys.stdout`. If `sys.stdout` cannot encode a record, `logging` prints a
    traceback instead of the line.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace characters in the record if necessary, and return True."""
        with contextlib.suppress(Exception):  # logging reports arguments that do not fit their message
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


class FreshLineFilter(logging.Filter):
    """A logging filter that begins a new line where the cursor is behind a progress bar. It lets every record pass.

    Ultralytics redraws a bar in its line: what is logged meanwhile would continue that line.

    Attributes:
        bar_open: Whether a bar may be on the line of the cursor. The suite sets it, event by event.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bar_open = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Begin a new line if necessary, and return True."""
        self.begin_line()
        return True

    def begin_line(self) -> None:
        """Begin a new line if a bar may be on the line of the cursor."""
        if self.bar_open:
            self.bar_open = False
            with contextlib.suppress(Exception):  # no console, or a closed one: the handler reports it
                sys.stdout.write("\n")
                sys.stdout.flush()


FRESH_LINE = FreshLineFilter()
"""The filter of the library's logger."""
