"""The pictures of the README are small and need no script, and the emulated terminal shows what was printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from environments import source_distribution
from PIL import Image

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = sorted(set(re.findall(r'(?:src|srcset)="([^"]+)"', README)))
SVG = "{http://www.w3.org/2000/svg}"
LINE = 18  # pixels


@pytest.fixture(scope="module")
def terminal():
    sys.path.insert(0, str(ROOT / "docs/pictures"))
    try:
        import terminal

        yield terminal
    finally:
        sys.path.pop(0)


def texts(element: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in element.iter(f"{SVG}text")]


def last_screen(svg: str) -> dict[int, list[str]]:
    """The texts of each line of the screen that is shown without animations, by the line's number."""
    root = ElementTree.fromstring(svg)
    lines = {f"#{group.get('id')}": texts(group) for group in root.iter(f"{SVG}g") if group.get("id") != "strip"}
    strip = next(group for group in root.iter(f"{SVG}g") if group.get("id") == "strip")
    top = -int(re.findall(r"-?\d+", strip.get("transform", ""))[1])
    uses = [(int(use.get("y", 0)) - top, lines[use.get("href", "")]) for use in strip]
    return {y // LINE: text for y, text in uses if y >= 0}


def test_the_readme_shows_an_animation_and_a_report_for_light_and_dark():
    assert [Path(picture).name for picture in PICTURES] == ["report-dark.png", "report-light.png", "training.svg"]


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_is_small_and_in_the_source_distribution(picture):
    limit = 150_000 if picture.endswith(".svg") else 200_000
    assert 0 < (ROOT / picture).stat().st_size <= limit
    assert picture in source_distribution()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_light_or_dark_as_its_name_says(scheme):
    grey = Image.open(ROOT / f"docs/pictures/report-{scheme}.png").convert("L")
    assert (grey.getpixel((2, 2)) > 128) == (scheme == "light")


def test_the_animation_needs_neither_scripts_nor_other_files_and_ends_with_the_table():
    text = (ROOT / "docs/pictures/training.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert not [element for element in root.iter() if element.tag.removeprefix(SVG) in ("script", "foreignObject")]
    assert all(use.get("href", "").startswith("#") for use in root.iter(f"{SVG}use"))
    assert "url(" not in text
    screen = " ".join(" ".join(line) for line in last_screen(text).values())
    assert "SaveBest" in screen
    assert "EarlyStopping" in screen


def test_a_command_is_recorded_with_the_width_of_the_terminal(terminal, tmp_path):
    script = "import os, sys; print(os.get_terminal_size().columns, sys.stdout.isatty(), 'é')"
    events = terminal.record([sys.executable, "-c", script], tmp_path, {})
    assert "".join(event.text for event in events) == f"{terminal.COLUMNS} True é\r\n"


def test_the_last_screen_is_what_a_terminal_shows_at_the_end(terminal):
    printed = ["first\r\n", "10 %", "\r\x1b[K", "100 % \x1b[1mbold\x1b[0m \x1b[34m<blue>\x1b[0m\r\n", "🚀 go\r\n"]
    frames = terminal.frames_of([*terminal.typed("run"), *(terminal.Event(1.0, text) for text in printed)], 3.0)
    assert last_screen(terminal.svg(frames, "a & b")) == {
        0: ["$", "run"],
        1: ["first"],
        2: ["100 %", "bold", "<blue>"],
        3: ["🚀", "go"],
    }
    assert len(frames) > 3


def test_a_piece_after_a_wide_character_keeps_its_column(terminal):
    frame = terminal.frames_of([terminal.Event(0.1, "🚀🚀 go")], 1.0)[-1]
    assert [(piece.column, piece.width, piece.text) for piece in frame.screen[0]] == [
        (0, 2, "🚀"),
        (2, 2, "🚀"),
        (5, 2, "go"),
    ]


def test_fewer_frames_make_a_smaller_file(terminal):
    events = [terminal.Event(0.1, f"line {number}\r\n") for number in range(100)]
    many, few = (terminal.frames_of(events, 10.0, shortest=shortest) for shortest in (0.1, 0.4))
    assert len(few) < len(many)
    assert few[-1].screen == many[-1].screen
    assert len(terminal.svg(few, "")) < len(terminal.svg(many, ""))


def test_a_command_that_fails_is_an_error_with_its_output(terminal, tmp_path):
    with pytest.raises(terminal.subprocess.CalledProcessError) as failed:
        terminal.record([sys.executable, "-c", "raise SystemExit('no data')"], tmp_path, {})
    assert "no data" in failed.value.output
