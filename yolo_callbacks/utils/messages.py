"""Make one-line messages from texts and exceptions."""

from __future__ import annotations

import re

__all__ = ["one_line", "text_of"]

_LINE_ENDS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+\s*")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


def one_line(text: str) -> str:
    """Return a text in one line, with escapes in place of control characters."""
    joined = _LINE_ENDS.sub(" ", text.strip()).replace("\t", " ")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", joined)


def text_of(error: BaseException) -> str:
    """Return the text of an exception in one line, or the name of its class if it has no text."""
    try:
        text = one_line(str(error))
    except Exception:  # `__str__` of a foreign class may raise anything
        text = ""
    return text or type(error).__name__
