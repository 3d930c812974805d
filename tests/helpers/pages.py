"""Read the fenced blocks of a page of the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Block(NamedTuple):
    """A fenced block: its language, its code, and the line where it begins."""

    language: str
    code: str
    line: int


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the blocks of these languages."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    read = [Block(match[1], match[2], text[: match.start()].count("\n") + 1) for match in found]
    return [block for block in read if block.language in languages]


def block_with(page: str, text: str, *languages: str) -> str:
    """Return the code of the only block of a page that contains a text."""
    (code,) = [block.code for block in blocks(ROOT / page, *languages) if text in block.code]
    return code
