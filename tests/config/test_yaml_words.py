"""Mistakes in YAML that a user makes: the message names the line to correct, and says in plain words what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from yolo_callbacks.config.loading import load
from yolo_callbacks.config.yaml_file import ConfigError
from yolo_callbacks.config.yaml_words import describe, slip

# The terms of PyYAML, which say nothing to a user.
JARGON = re.compile(r"<[a-z ]+>|\btoken|\bscalar|\bsequence|\bnode\b|simple key|mapping values|stream|constructor")
MISTAKES = {
    "tab indents": ("callbacks:\n\t- SaveBest\n", ":2: invalid YAML: a tab cannot indent; use spaces"),
    "tab deeper": ("callbacks:\n  - SaveBest:\n\t\ttop_k: 2\n", ":3: invalid YAML: a tab cannot indent; use spaces"),
    "tab after colon": (
        "callbacks:\n  - SaveBest:\n      top_k:\t2\n",
        ":3: invalid YAML: a tab cannot separate; use a space",
    ),
    "tab after dash": ("callbacks:\n  -\tSaveBest\n", ":2: invalid YAML: a tab cannot separate; use a space"),
    "odd indent less": (
        "callbacks:\n  - SaveBest:\n      monitor: mAP50\n     top_k: 2\n",
        ":4: invalid YAML: wrong indentation: 5 spaces, but 6 in line 3",
    ),
    "odd indent more": (
        "callbacks:\n  - SaveBest:\n      monitor: mAP50\n       top_k: 2\n",
        ":4: invalid YAML: wrong indentation: 7 spaces, but 6 in line 3",
    ),
    "odd dash less": (
        "callbacks:\n   - SaveBest\n  - EarlyStopping\n",
        ":3: invalid YAML: wrong indentation: 2 spaces, but 3 in line 2",
    ),
    "odd dash more": (
        "callbacks:\n  - SaveBest\n   - EarlyStopping\n",
        ":2: line 3 continues the name: indent each `- ` equally",
    ),
    "top key indented": (
        "callbacks:\n  - SaveBest\n strict: true\n",
        ":3: invalid YAML: wrong indentation: 1 space, but 2 in line 2",
    ),
    "top key in list": (
        "callbacks:\n  - SaveBest\n  strict: true\n",
        ":3: invalid YAML: `strict` is among list items: write `- strict`, or begin it where the list's key begins",
    ),
    "key after dash list": (
        "callbacks:\n- SaveBest\nstrict: true\n report: true\n",
        ":4: invalid YAML: wrong indentation: 1 space, but 0 in line 3",
    ),
    "dash in mapping": (
        "callbacks:\n  SaveBest:\n  - EarlyStopping\n",
        ":2: `callbacks:` must be a list: write `- ` before each name, `- SaveBest:`",
    ),
    "dash in mapping2": (
        "strict: true\n- SaveBest\n",
        ":2: invalid YAML: a list item among keys: indent `- ` further than the key of the list",
    ),
    "missing colon top": (
        "callbacks\n  - SaveBest\n",
        ":1: expected `callbacks:` with a list: a `:` is missing after `callbacks`",
    ),
    "missing colon top2": (
        "callbacks\n  - SaveBest\nstrict: true\n",
        ":1: invalid YAML: a `:` is missing after `callbacks`",
    ),
    "missing colon name": (
        "callbacks:\n  - SaveBest\n      top_k: 2\n",
        ":2: invalid YAML: a `:` is missing after `SaveBest`",
    ),
    "missing colon arg": (
        "callbacks:\n  - SaveBest:\n      top_k 2\n",
        ":3: the arguments of SaveBest must have names: a `:` is missing after `top_k`",
    ),
    "missing colon arg2": (
        "callbacks:\n  - SaveBest:\n      top_k 2\n      monitor: mAP50\n",
        ":3: invalid YAML: a `:` is missing after `top_k`",
    ),
    "missing colon arg3": (
        "callbacks:\n  - SaveBest:\n      monitor: mAP50\n      top_k 2\n",
        ":4: invalid YAML: a `:` is missing after `top_k`",
    ),
    "missing colon arg5": (
        "callbacks:\n  - SaveBest:\n      monitor: mAP50\n      top_k 2\n      mode: max\n",
        ":4: invalid YAML: a `:` is missing after `top_k`",
    ),
    "missing colon flag": (
        "callbacks: [SaveBest]\nstrict true\nreport: true\n",
        ":2: invalid YAML: a `:` is missing after `strict`",
    ),
    "a name and a brace": (
        "callbacks:\n  - SaveBest {top_k: 2}\n",
        ":2: a `:` is missing after `SaveBest`: write `SaveBest: {top_k: …}`",
    ),
    "only a value": (
        "callbacks:\n  - SaveBest: mAP50\n",
        ":2: the arguments of SaveBest must have names: write `SaveBest: {monitor: mAP50}`",
    ),
    "a function": (
        "callbacks:\n  - SaveBest: {monitor: lambda m: m['mAP50'] + 1}\n",
        ":2: invalid YAML: a function cannot be written in YAML, only in Python",
    ),
    "missing space colon": (
        "callbacks:\n  - SaveBest:\n      top_k:2\n",
        ":3: the arguments of SaveBest must have names: a space is missing after `:`: `top_k: 2`",
    ),
    "missing space colon flow": (
        "callbacks: [{SaveBest: {top_k:2}}]\n",
        ":1: a space is missing after `:`: `top_k: 2`",
    ),
    "missing space colon 2": (
        "callbacks:\n  - SaveBest:\n      monitor: mAP50\n      top_k:2\n",
        ":4: invalid YAML: a space is missing after `:`: `top_k: 2`",
    ),
    "missing space colon 3": (
        "callbacks:\n  - SaveBest:\n      top_k:2\n      monitor: mAP50\n",
        ":3: invalid YAML: a space is missing after `:`: `top_k: 2`",
    ),
    "missing space top": (
        "callbacks:[SaveBest]\n",
        ":1: expected `callbacks:` with a list: a space is missing after `:`: `callbacks: [SaveBest]`",
    ),
    "missing space dash": (
        "callbacks:\n  -SaveBest\n",
        ":1: `callbacks:` must be a list of at least one: a space is missing after `-`: `- SaveBest`",
    ),
    "missing space dash2": (
        "callbacks:\n  - SaveBest\n  -EarlyStopping\n",
        ":3: invalid YAML: a space is missing after `-`: `- EarlyStopping`",
    ),
    "missing space dash3": (
        "callbacks:\n  -SaveBest\n  -EarlyStopping:\n      patience: 3\n",
        ":2: invalid YAML: a space is missing after `-`: `- SaveBest`",
    ),
    "equals": (
        "callbacks:\n  - EarlyStopping:\n      patience=20\n",
        ":3: the arguments of EarlyStopping must have names: write `patience: 20`, with a colon",
    ),
    "equals flow": ("callbacks: [{EarlyStopping: {patience=20}}]\n", ":1: write `patience: 20`, with a colon"),
    "equals top": (
        "callbacks = [SaveBest]\n",
        ":1: expected `callbacks:` with a list: write `callbacks: [SaveBest]`, with a colon",
    ),
    "call": (
        "callbacks:\n  - EarlyStopping(patience=20)\n",
        ":2: write the arguments as `- EarlyStopping: {name: value}`",
    ),
    "unclosed [": ("callbacks: [SaveBest\n", ":1: invalid YAML: `[` is not closed: `]` is missing"),
    "unclosed [ next key": (
        "callbacks: [SaveBest\nstrict: true\n",
        ":1: invalid YAML: `[` is not closed before line 2: `]` or a comma is missing",
    ),
    "unclosed [ block next": (
        "callbacks:\n  - WandbLogger: {tags: [a, b}\n",
        ":2: invalid YAML: `}` where the `[` of line 2 expects `]`",
    ),
    "unclosed [ args": (
        "callbacks:\n  - WandbLogger:\n      tags: [a, b\n      name: x\n",
        ":3: invalid YAML: `[` is not closed before line 4: `]` or a comma is missing",
    ),
    "unclosed {": ("callbacks:\n  - SaveBest: {top_k: 2\n", ":2: invalid YAML: `{` is not closed: `}` is missing"),
    "unclosed { next": (
        "callbacks:\n  - SaveBest: {top_k: 2\n  - EarlyStopping\n",
        ":2: invalid YAML: `{` is not closed: `}` is missing",
    ),
    "unclosed { next2": (
        "callbacks:\n  - SaveBest: {top_k: 2\n  - EarlyStopping: {patience: 3}\n",
        ":2: invalid YAML: `{` is not closed before line 3: `}` or a comma is missing",
    ),
    "] without [": ("callbacks: SaveBest]\n", ":1: `callbacks:` must be a list of at least one: `- SaveBest`"),
    "] alone": ("callbacks:\n  - SaveBest\n]\n", ":3: invalid YAML: `]` without `[`"),
    "] value": ("callbacks: ]\n", ":1: invalid YAML: `]` without `[`"),
    "} too many": (
        "callbacks: [{SaveBest: {top_k: 2}}}]\n",
        ":1: invalid YAML: `}` where the `[` of line 1 expects `]`",
    ),
    "[ closed by }": ("callbacks: [SaveBest}\n", ":1: invalid YAML: `}` where the `[` of line 1 expects `]`"),
    "missing comma flow map": (
        "callbacks: [{SaveBest: {top_k: 2 monitor: mAP50}}]\n",
        ":1: invalid YAML: a comma is missing after a value of the `{` of line 1",
    ),
    "missing comma flow seq": (
        "callbacks: [{SaveBest: {top_k: 2}} JsonlLogger]\n",
        ":1: invalid YAML: a comma is missing after a value of the `[` of line 1",
    ),
    "missing comma quoted": (
        "callbacks: ['SaveBest' 'JsonlLogger']\n",
        ":1: invalid YAML: a comma is missing after a value of the `[` of line 1",
    ),
    "double comma": ("callbacks: [SaveBest,, JsonlLogger]\n", ":1: invalid YAML: a value is missing before `,`"),
    "leading comma": ("callbacks: [, SaveBest]\n", ":1: invalid YAML: a value is missing before `,`"),
    "unclosed dq": (
        'callbacks:\n  - SaveBest:\n      monitor: "mAP50\n      top_k: 2\n',
        ':3: invalid YAML: the quote `"` is not closed',
    ),
    "unclosed sq": (
        "callbacks:\n  - SaveBest:\n      monitor: 'mAP50\n",
        ":3: invalid YAML: the quote `'` is not closed",
    ),
    "text after quote": (
        "callbacks:\n  - SaveBest:\n      monitor: 'mAP50' x\n",
        ":3: invalid YAML: text after the closing quote; write a quote inside of quotes twice",
    ),
    "apostrophe": (
        "callbacks:\n  - WandbLogger:\n      notes: 'it's here'\n",
        ":3: invalid YAML: text after the closing quote; write a quote inside of quotes twice",
    ),
    "escape": (
        'callbacks:\n  - WandbLogger:\n      notes: "C:\\data\\weights"\n',
        ":3: invalid YAML: in double quotes `\\` begins an escape, and this one is unknown: use single quotes",
    ),
    "escape x": (
        'callbacks:\n  - WandbLogger:\n      notes: "\\xq"\n',
        ":3: invalid YAML: in double quotes `\\` begins an escape, and this one is unknown: use single quotes",
    ),
    "escape U": (
        'callbacks:\n  - WandbLogger:\n      notes: "C:\\Users\\me"\n',
        ":3: invalid YAML: in double quotes `\\` begins an escape, and this one is unknown: use single quotes",
    ),
    "escape U range": (
        'callbacks:\n  - WandbLogger:\n      notes: "\\U00110000"\n',
        ":3: invalid YAML: an escape in double quotes is no character: use single quotes",
    ),
    "two colons": (
        "callbacks:\n  - WandbLogger:\n      notes: run: best\n",
        ":3: invalid YAML: a second `: ` in one line: put the value in quotes, or write the key on a line of its own",
    ),
    "two colons args": (
        "callbacks:\n  - SaveBest: top_k: 2\n",
        ":2: invalid YAML: a second `: ` in one line: put the value in quotes, or write the key on a line of its own",
    ),
    "dash on line": (
        "callbacks: - SaveBest\n",
        ":1: invalid YAML: a list item needs a line of its own: write `- ` under the key",
    ),
    "dash as arg": (
        "callbacks:\n  - WandbLogger:\n      tags: - a\n",
        ":3: invalid YAML: a list item needs a line of its own: write `- ` under the key",
    ),
    "?": (
        "callbacks:\n  - WandbLogger:\n      notes: ? a\n",
        ":3: invalid YAML: a text cannot begin with `? `: put it in quotes",
    ),
    "star": (
        "callbacks:\n  - WandbLogger:\n      notes: *.pt\n",
        ":3: invalid YAML: a text cannot begin with '*': put it in quotes",
    ),
    "alias": (
        "callbacks:\n  - WandbLogger:\n      notes: *best\n",
        ":3: invalid YAML: no value is marked `&best`: put `*best` in quotes if it is a text",
    ),
    "amp": (
        "callbacks:\n  - WandbLogger:\n      notes: & x\n",
        ":3: invalid YAML: a text cannot begin with '&': put it in quotes",
    ),
    "at": (
        "callbacks:\n  - WandbLogger:\n      notes: @home\n",
        ":3: invalid YAML: a text cannot begin with '@': put it in quotes",
    ),
    "backtick": (
        "callbacks:\n  - WandbLogger:\n      notes: `x`\n",
        ":3: invalid YAML: a text cannot begin with '`': put it in quotes",
    ),
    "percent": (
        "callbacks:\n  - WandbLogger:\n      notes: %x\n",
        ":3: invalid YAML: a text cannot begin with '%': put it in quotes",
    ),
    "excl": (
        "callbacks:\n  - WandbLogger:\n      notes: !important\n",
        ":3: invalid YAML: the tag '!important' is not known: put a text that begins with `!` in quotes",
    ),
    "excl2": (
        "callbacks:\n  - WandbLogger:\n      notes: !a!b c\n",
        ":3: invalid YAML: the tag `!a!…` is not known: put a text that begins with `!` in quotes",
    ),
    "pipe": (
        "callbacks:\n  - WandbLogger:\n      notes: |x\n",
        ":3: invalid YAML: a text cannot begin with '|': put it in quotes",
    ),
    "pipe0": (
        "callbacks:\n  - WandbLogger:\n      notes: |0\n",
        ":3: invalid YAML: a text cannot begin with '|': put it in quotes",
    ),
    "gt": (
        "callbacks:\n  - WandbLogger:\n      notes: >5 epochs\n",
        ":3: invalid YAML: a text cannot begin with '>': put it in quotes",
    ),
    "directive": (
        "%YAML 3.0\n---\ncallbacks: [SaveBest]\n",
        ":1: invalid YAML: the file asks for another YAML than 1.1 or 1.2: remove `%YAML`",
    ),
    "directive2": ("%FOO\ncallbacks: [SaveBest]\n", ":2: invalid YAML: text outside of the file's keys"),
    "directive3": (
        "%YAML x\n---\ncallbacks: [SaveBest]\n",
        ":1: invalid YAML: a line that begins with `%` is a directive of YAML, and this one is unknown: remove it",
    ),
    "two documents": (
        "callbacks: [SaveBest]\n---\nstrict: true\n",
        ":2: invalid YAML: `---` begins a second document: a file has one",
    ),
    "dup": (
        "callbacks:\n  - SaveBest:\n      top_k: 2\n      top_k: 3\n",
        ":4: 'top_k' is given twice, first in line 3",
    ),
    "merge": (
        "callbacks:\n  - SaveBest: {<<: 1}\n",
        ":2: invalid YAML: `<<` needs a mapping or list of mappings: `<<: *name`",
    ),
    "conflict": (
        "callbacks:\n<<<<<<< HEAD\n  - SaveBest\n=======\n  - EarlyStopping\n>>>>>>> main\n",
        ":2: invalid YAML: a merge conflict of Git is not resolved",
    ),
    "nbsp": ("callbacks:\n\xa0\xa0- SaveBest\n", ":2: invalid YAML: the line has a no-break space: write a space"),
    "nbsp2": (
        "callbacks:\n  - SaveBest:\n      top_k:\xa02\n",
        ":3: the arguments of SaveBest must have names: the line has a no-break space: write a space",
    ),
    "fullwidth": (
        "callbacks\N{FULLWIDTH COLON}\n  - SaveBest\n",
        ":1: expected `callbacks:` with a list: the line has a full-width colon: write `:`",
    ),
    "fullwidth2": (
        "callbacks:\n  - SaveBest\N{FULLWIDTH COLON}\n      top_k: 2\n",
        ":2: invalid YAML: the line has a full-width colon: write `:`",
    ),
    "None": (
        "callbacks:\n  - EarlyStopping:\n      patience: None\n",
        ":3: EarlyStopping: patience must be an integer, received 'None'; in YAML, None is null",
    ),
    "off": (
        "callbacks:\n  - EarlyStopping:\n      patience: 3\n      mode: off\n",
        ":4: EarlyStopping: mode must be 'auto', 'min' or 'max', received False; YAML reads on, off, yes and no as "
        "true or false: put a text in quotes",
    ),
    "number quoted": (
        "callbacks:\n  - EarlyStopping:\n      patience: '20'\n",
        ":3: EarlyStopping: patience must be an integer, received '20'; write 20, without quotes and comma",
    ),
    "trailing comma": (
        "callbacks:\n  - EarlyStopping:\n      patience: 20,\n      mode: max\n",
        ":3: EarlyStopping: patience must be an integer, received '20,'; write 20, without quotes and comma",
    ),
    "decimal comma": (
        "callbacks:\n  - EarlyStopping:\n      min_delta: 0,01\n",
        ":3: EarlyStopping: min_delta must be a number, received '0,01'; write 0.01, without quotes and comma",
    ),
    "no indent2": (
        "callbacks:\n- SaveBest:\ntop_k: 2\n",
        ":3: unknown key 'top_k'; indent the arguments of a callback further than its name",
    ),
    "mapping instead": (
        "callbacks:\n  SaveBest:\n    top_k: 2\n",
        ":2: `callbacks:` must be a list: write `- ` before each name, `- SaveBest:`",
    ),
    "list args": (
        "callbacks:\n  - SaveBest:\n      - top_k: 2\n",
        ":3: the arguments of SaveBest must have names: remove the `- ` before them",
    ),
    "no callbacks key": (
        "- SaveBest\n- EarlyStopping\n",
        ":1: expected `callbacks:` with a list: write `callbacks:` above the list",
    ),
    "date": (
        "callbacks: [{WandbLogger: {name: 2026-02-30}}]\n",
        ":1: invalid YAML: '2026-02-30' is not a valid !!timestamp; put it in quotes if it is a text",
    ),
    "0x": (
        "callbacks: [{EarlyStopping: {patience: 0x_}}]\n",
        ":1: invalid YAML: '0x_' is not a valid !!int; put it in quotes if it is a text",
    ),
    "percent value": (
        "callbacks:\n  - EarlyStopping:\n      patience: 10%\n",
        ":3: EarlyStopping: patience must be an integer, received '10%'",
    ),
    "smart dash": (
        "callbacks:\n  \N{EN DASH} SaveBest\n",
        ":1: `callbacks:` must be a list of at least one: the line has a dash that is no hyphen: write `-`",
    ),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_plain_words(name):
    text, said = MISTAKES[name]
    Path("c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load("c.yaml")
    message = str(raised.value)
    assert message.startswith(f"c.yaml{said}")
    assert not JARGON.search(message)


def test_an_unknown_error_of_pyyaml_keeps_its_text_and_line():
    mark = yaml.Mark("", 0, 2, 0, None, None)
    error = yaml.MarkedYAMLError(None, None, "expected a new thing, but found scalar node", mark)
    assert describe(error, "") == (3, "expected a new thing, but found text")
    assert describe(yaml.MarkedYAMLError("a context"), "") == (1, "a context")


def test_no_value_of_the_environment_is_shown(monkeypatch):
    """Also where the value has the form of a known mistake."""
    for value in ("monitor=s3cret", "monitor:s3cret", "-s3cret", "S3cret(a)", "s3cret value"):
        monkeypatch.setenv("SECRET", value)
        for text in ("callbacks: ${SECRET}", "callbacks:\n  - ${SECRET}", "callbacks:\n  - SaveBest:\n      ${SECRET}"):
            Path("c.yaml").write_text(text, encoding="utf-8")
            with pytest.raises(ConfigError) as raised:
                load("c.yaml")
            assert "3cret" not in str(raised.value)


@pytest.mark.parametrize("line", ["", "'a'", "[1]", "10%"])
def test_a_line_without_a_known_mistake(line):
    assert slip(line) == ""
