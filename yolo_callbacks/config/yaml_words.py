"""Describe the mistakes that PyYAML finds without the terms of its parser, and name the line to correct.

PyYAML 6.0 reports the position where it cannot continue. The mistake is often on an earlier line: a bracket that is not
closed, or a key without a colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

__all__ = ["describe", "slip"]

_CLOSING = {"[": "]", "{": "}"}
# Characters that look like a space, a dash or a colon, and what YAML needs there.
_LOOKALIKES = {
    "\N{NO-BREAK SPACE}": ("a no-break space", "a space"),
    "\N{IDEOGRAPHIC SPACE}": ("a full-width space", "a space"),
    "\N{FULLWIDTH COLON}": ("a full-width colon", "`:`"),
    "\N{EN DASH}": ("a dash that is no hyphen", "`-`"),
    "\N{EM DASH}": ("a dash that is no hyphen", "`-`"),
}
_SLIPS = (
    ("-", r"-(?P<name>[A-Za-z]\w*)(?:[: ].*)?", "a space is missing after `-`: `- {name}`"),
    ("=", r"(?P<name>[a-z_]\w*)\s*=\s*(?P<value>.*?),?", "write `{name}: {value}`, with a colon"),
    (":", r"(?P<name>[a-z_]\w*):(?P<value>[^\s:/].*)", "a space is missing after `:`: `{name}: {value}`"),
    ("(", r"(?:- +)?(?P<name>[A-Z]\w*)\([^)].*", "write the arguments as `- {name}: {{name: value}}`"),
    (" ", r"(?:- +)?(?P<name>[A-Za-z_][\w.:]*)(?: .*)?", "a `:` is missing after `{name}`"),
)
_INDENT = "lines of one level begin in one column; indent by two spaces"
_KEY = re.compile(r"\s*(?:- +)?(?P<name>[\w:.-]+?)\s*:(?:\s|$)")


@dataclass(frozen=True)
class _Fault:
    """A mistake as PyYAML reports it.

    Attributes:
        problem: Its text about the position where it cannot continue.
        context: Its text about what it was reading; may be empty.
        line: The number of the line where it cannot continue, from 1.
        column: The column there, from 0.
        start: The number of the line where it began to read the context.
        start_column: The column there.
        lines: The lines of the file.
    """

    problem: str
    context: str
    line: int
    column: int
    start: int
    start_column: int
    lines: tuple[str, ...]

    def text(self, number: int) -> str:
        """Return a line; empty behind the end of the file."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    @property
    def opening(self) -> str:
        """Return the character with which the context begins."""
        return self.text(self.start)[self.start_column : self.start_column + 1]

    @property
    def found(self) -> str:
        """Return the token that PyYAML did not expect, such as `<scalar>`."""
        return self.problem.rpartition(" '")[2].rstrip("'")


_Description = tuple[int, str]


def describe(error: yaml.MarkedYAMLError, text: str) -> _Description:
    """Return the number of the line to correct, from 1, and the description of the mistake."""
    here = error.problem_mark or error.context_mark
    start = error.context_mark or here
    fault = _Fault(
        str(error.problem or error.context),
        str(error.context or ""),
        here.line + 1 if here else 1,
        here.column if here else 0,
        start.line + 1 if start else 1,
        start.column if start else 0,
        tuple(text.splitlines()),
    )
    for rule in _RULES:
        described = rule(fault)
        if described:
            return described
    return fault.line, _plain(fault.problem)


def slip(line: str, signs: str = "") -> str:
    """Return what is wrong with a line that YAML reads as a text without a key; empty if it is not known.

    Args:
        line: The line, or the text.
        signs: Which mistakes to look for, each by a character: `-` for a list item without a space, `=`, `:` without a
            space, `(` for a call as in Python, and a space for a missing colon. All of them if it is empty.
    """
    for character, (name, expected) in _LOOKALIKES.items():
        if character in line:
            return f"the line has {name}: write {expected}"
    for sign, pattern, message in _SLIPS:
        matched = re.fullmatch(pattern, line.partition(" #")[0].strip())
        if matched and sign in (signs or sign):
            return message.format(**matched.groupdict())
    return ""


# Rules ----------------------------------------------------------------------------------------------------------------


def _tab(fault: _Fault) -> _Description | None:
    if not fault.problem.startswith("found character '\\t'"):
        return None
    indents = not fault.text(fault.line)[: fault.column].strip()
    return fault.line, "a tab cannot indent; use spaces" if indents else "a tab cannot separate; use a space"


def _conflict(fault: _Fault) -> _Description | None:
    for number in range(1, len(fault.lines) + 1):
        if fault.text(number).startswith("<<<<<<< "):
            return number, "a merge conflict of Git is not resolved"
    return None


def _missing_colon(fault: _Fault) -> _Description | None:
    if fault.problem != "could not find expected ':'":
        return None
    return fault.start, slip(fault.text(fault.start)) or "a `:` is missing after the key"


def _unexpected_colon(fault: _Fault) -> _Description | None:
    if fault.problem != "mapping values are not allowed here":
        return None
    line = fault.text(fault.line)
    if re.search(r":\s", line[: fault.column]):
        return fault.line, "a second `: ` in one line: put the value in quotes, or write the key on a line of its own"
    above = _line_above(fault)
    if _KEY.match(fault.text(above)):
        return fault.line, _indentation(line, fault.text(above), above)
    advice = slip(fault.text(above))
    return (above, advice) if advice else (fault.line, f"a key is not possible here: {_INDENT}")


def _wrong_level(fault: _Fault) -> _Description | None:
    if not fault.problem.startswith("expected <block end>"):
        return None
    line = fault.text(fault.line)
    if fault.found in ("<block mapping start>", "<block sequence start>"):
        above = next((number for number in range(fault.line - 1, 0, -1) if fault.text(number).strip()), 1)
        return fault.line, _indentation(line, fault.text(above), above)
    if fault.found == "?":
        key = _KEY.match(line)
        name = key["name"] if key else "this"
        return (
            fault.line,
            f"`{name}` is among list items: write `- {name}`, or begin it where the list's key begins",
        )
    messages = {
        "-": "a list item among keys: indent `- ` further than the key of the list",
        "<scalar>": "text after the closing quote; write a quote inside of quotes twice",
        ",": "a comma after a value; commas are for [ ] and { } only",
    }
    return fault.line, messages.get(fault.found) or _unopened(fault.found)


def _bracket(fault: _Fault) -> _Description | None:
    if not fault.problem.startswith("expected ',' or "):
        return None
    closing = _CLOSING.get(fault.opening, "]")
    opened = f"the `{fault.opening}` of line {fault.start}"
    if fault.found == "<stream end>":
        return fault.start, f"`{fault.opening}` is not closed: `{closing}` is missing"
    if fault.found in _CLOSING.values():
        return fault.line, f"`{fault.found}` where {opened} expects `{closing}`"
    if fault.found == "{" and fault.text(fault.line)[: fault.column].endswith("$"):
        # inside { }, a plain ${…} ends at its closing brace
        return fault.line, "with ${…}, write each argument on a line of its own"
    if fault.line != fault.start:
        return (
            fault.start,
            f"`{fault.opening}` is not closed before line {fault.line}: `{closing}` or a comma is missing",
        )
    if "lambda" in fault.text(fault.line)[: fault.column]:
        return fault.line, "a function cannot be written in YAML, only in Python"
    return fault.line, f"a comma is missing after a value of {opened}"


def _no_value(fault: _Fault) -> _Description | None:
    if not fault.problem.startswith("expected the node content"):
        return None
    if "flow" in fault.context or fault.found == ",":
        return fault.line, f"a value is missing before `{fault.found}`"
    return fault.line, _unopened(fault.found)


def _quote(fault: _Fault) -> _Description | None:
    if fault.context != "while scanning a quoted scalar":
        return None
    return fault.start, f"the quote `{fault.opening}` is not closed"


def _escape(fault: _Fault) -> _Description | None:
    if fault.context != "while scanning a double-quoted scalar":
        return None
    return fault.line, "in double quotes `\\` begins an escape, and this one is unknown: use single quotes"


def _first_character(fault: _Fault) -> _Description | None:
    scanned = re.fullmatch(r"while (?:scanning|parsing) an? (alias|anchor|tag|block scalar)", fault.context)
    refused = re.match(r"found character '(.)' that cannot start", fault.problem)
    if not scanned and not refused:
        return None
    character = refused[1] if refused else fault.opening
    return fault.line, f"a text cannot begin with {character!r}: put it in quotes"


_PHRASES = (
    (r"sequence entries are not allowed here", "a list item needs a line of its own: write `- ` under the key"),
    (r"mapping keys are not allowed here", "a text cannot begin with `? `: put it in quotes"),
    (r"found undefined alias '(.*)'", "no value is marked `&{0}`: put `*{0}` in quotes if it is a text"),
    (r"second occurrence", "a second value has the same mark `&…`"),
    (r"found undefined tag handle '(.*)'", "the tag `{0}…` is not known: put a text that begins with `!` in quotes"),
    (r"but found another document", "`---` begins a second document: a file has one"),
    (r"expected '<document start>'.*", "text outside of the file's keys"),
    (r"found incompatible YAML document.*", "the file asks for another YAML than 1.1 or 1.2: remove `%YAML`"),
    (r"expected a mapping( or list of mappings)? for merging.*", "`<<` needs a mapping{0}: `<<: *name`"),
    (r"invalid indentation or unclosed '\[' or '\{{'", f"wrong indentation, or an open bracket: {_INDENT}"),
)


def _phrase(fault: _Fault) -> _Description | None:
    for pattern, message in _PHRASES:
        matched = re.fullmatch(pattern, fault.problem)
        if matched:
            return fault.line, message.format(*(group or "" for group in matched.groups()))
    if fault.context == "while scanning a directive":
        return fault.line, "a line that begins with `%` is a directive of YAML, and this one is unknown: remove it"
    return None


_RULES: tuple[Callable[[_Fault], _Description | None], ...] = (
    _conflict,
    _tab,
    _missing_colon,
    _unexpected_colon,
    _wrong_level,
    _bracket,
    _no_value,
    _quote,
    _escape,
    _first_character,
    _phrase,
)


# Parts ----------------------------------------------------------------------------------------------------------------


def _line_above(fault: _Fault) -> int:
    """Return the nearest line above that is not indented further than the line of the fault."""
    indent = _indent(fault.text(fault.line))
    for number in range(fault.line - 1, 0, -1):
        line = fault.text(number)
        if line.strip() and not line.lstrip().startswith("#") and _indent(line) <= indent:
            return number
    return max(1, fault.line - 1)


def _indentation(line: str, above: str, number: int) -> str:
    spaces = _indent(line)
    unit = "space" if spaces == 1 else "spaces"
    return f"wrong indentation: {spaces} {unit}, but {_indent(above)} in line {number}; {_INDENT}"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _unopened(token: str) -> str:
    opening = {closing: opening for opening, closing in _CLOSING.items()}.get(token)
    return f"`{token}` without `{opening}`" if opening else f"{_plain(token)} is not possible here"


def _plain(problem: str) -> str:
    """Replace the terms of PyYAML in a text."""
    words = {r"\bscalar( node)?\b": "text", r"\bsequence( node)?\b": "list", r"\bmapping node\b": "mapping"}
    for term, word in words.items():
        problem = re.sub(term, word, problem)
    return problem
