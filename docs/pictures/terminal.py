"""Record what commands print in a terminal, and write it as an animated SVG without scripts.

A pseudo-terminal makes the commands print as they do for a user, with colours and progress bars. `pyte` emulates the
terminal, and each of its screens becomes a picture of the animation. Waiting is shortened, nothing else is changed.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from time import monotonic

import pyte

__all__ = ["Event", "Frame", "frames_of", "record", "svg"]

COLUMNS, LINES = 112, 26
LONGEST_PAUSE = 0.4  # seconds, before the animation is fitted into its length
LAST_FRAME = 8.0  # seconds

_CHARACTER, _LINE, _BASELINE, _MARGIN, _BAR = 8.4, 18, 13, 14, 30  # pixels
_COLOURS = {
    "black": "#6e7681",
    "red": "#ff7b72",
    "green": "#7ee787",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": "#f0f6fc",
}


@dataclass(frozen=True)
class Event:
    """Text that was printed, and the seconds since the event before."""

    pause: float
    text: str
    waiting: bool = True  # the pause is one of the program, which the animation shortens


@dataclass(frozen=True)
class Piece:
    """Characters of one style that follow each other in a line."""

    column: int
    width: int  # in columns; an emoji has two
    text: str
    style: str  # a class of the style sheet, or nothing


Line = tuple[Piece, ...]
Screen = tuple[Line, ...]


@dataclass(frozen=True)
class Frame:
    """A screen, and how many seconds it is shown."""

    screen: Screen
    seconds: float


def typed(command: str) -> list[Event]:
    """Return the events of a prompt at which a command is typed, after some time to read what is above it."""
    prompt, end = Event(0.1, "\x1b[32m$\x1b[0m ", waiting=False), Event(0.4, "\r\n", waiting=False)
    return [prompt, Event(1.5, "", waiting=False), *(Event(0.05, letter, waiting=False) for letter in command), end]


def record(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[Event]:
    """Run a command in a pseudo-terminal.

    Raises:
        subprocess.CalledProcessError: If it fails. The exception has what was printed.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    terminal = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    process = subprocess.Popen(command, cwd=folder, env={**environment, **terminal}, stdin=its, stdout=its, stderr=its)
    os.close(its)
    events, before, decoder = list[Event](), monotonic(), codecs.getincrementaldecoder("utf-8")("replace")
    for output in _outputs(ours):
        now = monotonic()
        events.append(Event(now - before, decoder.decode(output)))
        before = now
    os.close(ours)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command, "".join(event.text for event in events))
    return events


def _outputs(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            output = os.read(terminal, 65536)
        except OSError:  # Linux reports the end of the process in this way
            return
        if not output:
            return
        yield output


def frames_of(events: Sequence[Event], seconds: float, *, shortest: float = 0.1) -> list[Frame]:
    """Replay the events with shortened pauses, and return the different screens.

    Args:
        events: What was printed.
        seconds: The length of what the program takes, without prompts and the last frame.
        shortest: The seconds that a frame is shown at least; fewer frames make a smaller file.
    """
    waiting = sum(min(event.pause, LONGEST_PAUSE) for event in events if event.waiting)
    speed = min(1.0, seconds / waiting) if waiting else 1.0
    screen = pyte.Screen(COLUMNS, LINES)
    stream, now, shown = pyte.Stream(screen), 0.0, 0.0
    frames: list[Frame] = []
    for event in events:
        now += min(event.pause, LONGEST_PAUSE) * speed if event.waiting else event.pause
        if now >= shown + shortest:
            _show(frames, _content(screen), now - shown)
            shown = now
        stream.feed(event.text)
    _show(frames, _content(screen), LAST_FRAME)
    return frames


def _show(frames: list[Frame], content: Screen, seconds: float) -> None:
    if frames and frames[-1].screen == content:
        seconds += frames.pop().seconds
    frames.append(Frame(content, seconds))


def _content(screen: pyte.Screen) -> Screen:
    return tuple(tuple(_pieces(screen.buffer[row])) for row in range(LINES))


def _pieces(row: Mapping[int, pyte.screens.Char]) -> Iterator[Piece]:
    """Divide a line into pieces of one style. A wide character ends its piece, since fonts disagree on its width."""
    pieces: list[tuple[int, str, str]] = []  # column, character, style
    for column in range(COLUMNS):
        character = row[column]
        pieces.append((column, character.data, _style(character)))
    start = 0
    for column in range(1, COLUMNS + 1):
        follows = column < COLUMNS and pieces[column][2] == pieces[column - 1][2]
        wide = column < COLUMNS and not pieces[column][1]  # the second half of a wide character is empty
        if (follows and pieces[column - 1][1]) or wide:
            continue
        text = "".join(data for _, data, _ in pieces[start:column])
        blank = len(text) - len(text.lstrip(" "))
        if text.strip(" "):
            yield Piece(start + blank, column - start - blank - _trailing(text), text.strip(" "), pieces[start][2])
        start = column


def _trailing(text: str) -> int:
    return len(text) - len(text.rstrip(" "))


def _style(character: pyte.screens.Char) -> str:
    colour = character.fg.removeprefix("bright")
    return " ".join((["b"] if character.bold else []) + ([colour] if colour in _COLOURS else []))


def svg(frames: Sequence[Frame], title: str) -> str:
    """Draw an animation. Where animations are off, it shows the last frame.

    All screens are one below the other in a strip, which jumps from screen to screen behind a window. A line that
    occurs several times is drawn once.
    """
    width, height = round(COLUMNS * _CHARACTER + 2 * _MARGIN), LINES * _LINE
    numbers: dict[Line, int] = {}
    uses = []
    for index, frame in enumerate(frames):
        for row, line in enumerate(frame.screen):
            if line:
                number = numbers.setdefault(line, len(numbers))
                uses.append(f'<use href="#{number}" y="{index * height + row * _LINE + _BASELINE}"/>')
    lines = [f'<g id="{number}">{"".join(map(_text, line))}</g>' for line, number in numbers.items()]
    last = f"translate(0,{-(len(frames) - 1) * height})"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + _BAR + _MARGIN}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_style_sheet(frames, height)}</style>",
            f'<rect width="{width}" height="{height + _BAR + _MARGIN}" rx="8" fill="#0d1117" stroke="#6e768166"/>',
            *(f'<circle cx="{16 + 18 * i}" cy="15" r="5" fill="#484f58"/>' for i in range(3)),
            f"<defs>{''.join(lines)}</defs>",
            f'<svg x="{_MARGIN}" y="{_BAR}" width="{width - _MARGIN}" height="{height}">',
            f'<g id="strip" transform="{last}">{"".join(uses)}</g>',
            "</svg>",
            "</svg>\n",
        ]
    )


def _text(piece: Piece) -> str:
    # textLength: the fonts of readers have different widths
    style = f' class="{piece.style}"' if piece.style else ""
    place = f'x="{piece.column * _CHARACTER:.4g}" textLength="{piece.width * _CHARACTER:.4g}"'
    return f"<text {place}{style}>{escape(piece.text, quote=False)}</text>"


def _style_sheet(frames: Sequence[Frame], height: int) -> str:
    total, begin, steps = sum(frame.seconds for frame in frames), 0.0, []
    for index, frame in enumerate(frames):
        steps.append(f"{100 * begin / total:.2f}%{{transform:translateY({-index * height}px)}}")
        begin += frame.seconds
    colours = "".join(f".{name}{{fill:{value}}}" for name, value in _COLOURS.items())
    return (
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#e6edf3;"
        f"white-space:pre}}.b{{font-weight:bold}}{colours}"
        f"@keyframes play{{{''.join(steps)}}}"
        f"@media (prefers-reduced-motion:no-preference){{#strip{{animation:play {total:.1f}s step-end infinite}}}}"
    )
