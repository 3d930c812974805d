"""Files of callbacks that are wrong: each costs one line with file and line, exit code 2, and shows no secret."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from yolo_callbacks import SaveBest
from yolo_callbacks.cli.command import main
from yolo_callbacks.config.loading import ConfigError, load

SECRETS = {
    "SECRET_A": "pass-one\nword",
    "SECRET_B": "it's\\two",
    "SECRET_C": "q7",  # too short to be found in a text
    "SECRET_D": "93715",
    "SECRET_E": "\N{SNOWMAN}snow\N{SNOWMAN}",
    "SECRET_F": "[open: {'brace",
}
# What a message may show of a value, however it spells it.
PIECES = ("pass-one", "it's", "\\two", "q7", "93715", "snow", "\\u2603", "brace", "open")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], name: str = "callbacks.yaml") -> str:
    """Check a file, and return the one line that it costs."""
    assert main(["check", name]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert said.err == f"{line}\n"
    assert "Traceback" not in line
    assert not [piece for piece in PIECES if piece in line]
    return line


# What users sent in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{EarlyStopping: {check_finite: !!bool maybe}}", "invalid YAML: 'maybe' is not a valid !!bool"),
        ('{EarlyStopping: {patience: !!int ""}}', "invalid YAML: '' is not a valid !!int"),
        ("{WandbLogger: {name: 2026-02-30}}", "invalid YAML: '2026-02-30' is not a valid !!timestamp"),
        ("{EarlyStopping: {patience: 0x_}}", "invalid YAML: '0x_' is not a valid !!int"),
        ("{WandbLogger: {projekt: x}}", "WandbLogger has no argument 'projekt', did you mean 'project'?"),
        ('{EarlyStopping: {patience: "${SECRET_A}"}}', "EarlyStopping: patience must be int | None: TypeError; its"),
        ('{WandbLogger: {mode: "${SECRET_B}"}}', "WandbLogger: mode must be str | None: ValueError; its text"),
    ],
)
def test_what_users_sent_in(text, said, capsys, folder):
    (folder / "callbacks.yaml").write_text(f"callbacks: [{text}]\n")
    assert refused(capsys).startswith(f"callbacks.yaml:1: {said}")


# What PyYAML fails on -------------------------------------------------------------------------------------------------

# A value, and what the line says of it.
SCALARS = {
    "!!bool maybe": "'maybe' is not a valid !!bool",
    "!!bool ''": "'' is not a valid !!bool",
    "!!bool 1": "'1' is not a valid !!bool",
    '!!int ""': "'' is not a valid !!int",
    "!!int x": "'x' is not a valid !!int",
    "!!int 1.5": "'1.5' is not a valid !!int",
    "!!int 0x": "'0x' is not a valid !!int",
    "!!int _": "'_' is not a valid !!int",
    "!!int 0b2": "'0b2' is not a valid !!int",
    "!!int 09": "'09' is not a valid !!int",
    "!!int +": "'+' is not a valid !!int",
    "!!int 1:x": "'1:x' is not a valid !!int",
    "0x_": "'0x_' is not a valid !!int",
    "0b_": "'0b_' is not a valid !!int",
    "-0x_": "'-0x_' is not a valid !!int",
    "'!!int'": "patience must be an integer",
    "!!float x": "'x' is not a valid !!float",
    '!!float ""': "'' is not a valid !!float",
    "!!float 1e": "'1e' is not a valid !!float",
    "!!float 1:x": "'1:x' is not a valid !!float",
    "._": "patience must be an integer",
    "!!timestamp x": "'x' is not a valid !!timestamp",
    "!!timestamp ''": "'' is not a valid !!timestamp",
    "2026-02-30": "'2026-02-30' is not a valid !!timestamp",
    "2026-13-01": "'2026-13-01' is not a valid !!timestamp",
    "2026-00-10": "'2026-00-10' is not a valid !!timestamp",
    "0000-01-01": "'0000-01-01' is not a valid !!timestamp",
    "2026-02-28 25:00:00": "'2026-02-28 25:00:00' is not a valid !!timestamp",
    "2026-02-28T10:61:00Z": "'2026-02-28T10:61:00Z' is not a valid !!timestamp",
    "2026-02-28 10:00:00 +99:99": "'2026-02-28 10:00:00 +99:99' is not a valid !!timestamp",
    "!!binary x": "'x' is not a valid !!binary",
    "!!binary \N{SNOWMAN}": "is not a valid !!binary",
    "!!null x": "",
    "!!set x": "'x' is not a valid !!set",
    "!!omap x": "'x' is not a valid !!omap",
    "!!pairs x": "'x' is not a valid !!pairs",
    "!!seq x": "'x' is not a valid !!seq",
    "!!map x": "'x' is not a valid !!map",
    "!!set [a]": "expected a mapping, but found list",
    "!!map [a]": "expected a mapping, but found list",
    "!!omap {a: 1}": "expected a list, but found mapping",
    "!!omap [a]": "expected a mapping of length 1, but found text",
    "!!omap [{a: 1, b: 2}]": "expected a single mapping item, but found 2 items",
    "!!pairs [1]": "expected a mapping of length 1, but found text",
    "!!seq {a: 1}": "expected a list, but found mapping",
    "!!str [a]": "expected a text, but found list",
    "!!str {a: b}": "expected a text, but found mapping",
    "!!int [1]": "expected a text, but found list",
    "!!bool {a: b}": "expected a text, but found mapping",
    "!!set {!!int x}": "'x' is not a valid !!int",
    "!!omap [{a: !!bool x}]": "'x' is not a valid !!bool",
    "[1, [2, !!int x]]": "'x' is not a valid !!int",
    "{a: {b: !!float x}}": "'x' is not a valid !!float",
    "{!!int x: 1}": "'x' is not a valid !!int",
    "{2026-02-30: 1}": "'2026-02-30' is not a valid !!timestamp",
    "!!python/none": "is not known: put a text that begins with `!` in quotes",
    "!!python/tuple [1]": "is not known: put a text that begins with `!` in quotes",
    "!!python/name:os.system x": "is not known: put a text that begins with `!` in quotes",
    "!!python/module:os x": "is not known: put a text that begins with `!` in quotes",
    "!!python/object/apply:os.system [touch hit]": "is not known: put a text that begins with `!` in quotes",
    "!!python/object/new:os.system {args: [touch hit]}": "is not known: put a text that begins with `!` in quotes",
    "!mine 1": "the tag '!mine' is not known: put a text that begins",
    "!mine [1]": "the tag '!mine' is not known: put a text that begins",
    "!<tag:example.com,2000:x> {a: b}": "is not known: put a text that begins with `!` in quotes",
    "!undefined!x 1": "the tag `!undefined!…` is not known",
    "*nowhere": "no value is marked `&nowhere`: put `*nowhere` in quotes",
    "{a: 1, a: 2}": "'a' is given twice",
    "{a: 1, 'a': 2}": "'a' is given twice",
    "[{a: {b: 1, b: 2}}]": "'b' is given twice",
    "{<<: 1}": "`<<` needs a mapping or list of mappings: `<<: *name`",
    "{<<: [1]}": "`<<` needs a mapping: `<<: *name`",
    "{<<: [{a: 1}, [b]]}": "`<<` needs a mapping: `<<: *name`",
    "{[1]: 2}": "a key must be a name",
    "{{a: 1}: 2}": "a key must be a name",
    "{? [a, b] : 2}": "a key must be a name",
    "&a [*a]": "an alias contains itself",
    "&a {b: [1, {c: *a}]}": "an alias contains itself",
    "&a {<<: *a}": "an alias contains itself",
    "&a !!set {? *a }": "",
    "'no end": "",
    '"\\z"': "in double quotes `\\` begins an escape, and this one is unknown",
    '"\\x1"': "in double quotes `\\` begins an escape, and this one is unknown",
    '"\\U00110000"': "an escape in double quotes is no character",
    '"\\ud800"': "contains a character that UTF-8 cannot encode",
    "@x": "a text cannot begin with '@'",
    "`x": "a text cannot begin with '`'",
    "%x": "a text cannot begin with '%'",
    "a: b": "a second `: ` in one line",
    "[1": "",
    "{a: 1": "",
    "]": "",
    "!<x": "",
    "&": "",
    "*": "",
    "9" * 5000: "is not a valid !!int",
    "=": "patience must be an integer",
    "<<": "patience must be an integer",
    ".inf": "patience must be an integer",
    ".nan": "patience must be an integer",
    "yes": "patience must be an integer",
    "1:30": "patience must be an integer",
    "~": "",
}
RIGHT = ("!!null x", "~")


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: value[:40])
def test_a_value_that_pyyaml_fails_on(value, capsys, folder):
    file = folder / "callbacks.yaml"
    file.write_text(
        f"callbacks:\n  - SaveBest\n  - EarlyStopping:\n      min_delta: 0\n      patience: {value}\n", "utf-8"
    )
    if value in RIGHT:
        assert main(["check", "callbacks.yaml"]) == 0
        return
    line = refused(capsys)
    number = int(re.match(r"callbacks\.yaml:(\d+): ", line)[1])
    assert number == 5 or (number == 6 and SCALARS[value] == "")  # a bracket that is not closed is missed at the end
    assert SCALARS[value] in line
    assert not (folder / "hit").exists()


# Whole files ----------------------------------------------------------------------------------------------------------

FEW = "callbacks: [SaveBest]\n"
LAUGHS = "callbacks:\n  - WandbLogger:\n      notes:\n        - &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"        - &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10)
)
MERGES = "callbacks:\n  - WandbLogger:\n      notes:\n        - &m0 {k0: 1}\n" + "".join(
    f"        - &m{level} {{<<: [*m{level - 1}, *m{level - 1}], k{level}: 1}}\n" for level in range(1, 30)
)
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", ":1: the file is empty"),
    "a comment": (b"# nothing\n", ":1: the file is empty"),
    "only a document's start": (b"---\n", ":1: the file is empty"),
    "a scalar": (b"x", ":1: expected `callbacks:`"),
    "a list": (b"\n- SaveBest\n", ":2: expected `callbacks:`"),
    "a set": (b"!!set {callbacks}", ":1: "),
    "Latin-1": (b"callbacks:\n  - SaveBest\n  # \xe9t\xe9\n", ":3: invalid YAML: not UTF-8"),
    "UTF-16": (FEW.encode("utf-16"), ":1: invalid YAML: not UTF-8"),
    "half a character": (b"callbacks: [SaveBest]\n# \xe2\x98", ":2: invalid YAML: not UTF-8"),
    "NUL": (b"callbacks:\n  - Save\x00Best\n", ":2: invalid YAML: the character #x0000"),
    "a bell": (b"callbacks:\n  - SaveBest\n  # \x07\n", ":3: invalid YAML: the character #x0007"),
    "a picture": (b"\xff\xd8\xff\xe0\x00\x10JFIF", ":1: invalid YAML: not UTF-8"),
    "an archive": (b"PK\x03\x04" + bytes(range(128)), ":1: invalid YAML: the character #x0003"),
    "a tab": (b"callbacks:\n\t- SaveBest\n", ":2: invalid YAML: a tab cannot indent; use spaces"),
    "billion laughs": (LAUGHS.encode(), ":7: holds more than 10000 values"),
    "billion merges": (MERGES.encode(), ": holds more than 10000 values"),
    "deep lists": (b"callbacks: " + b"[" * 100_000, ":1: invalid YAML: nested more than 50 levels deep"),
    "deep mappings": (b"callbacks: " + b"{a: " * 5000, ":1: invalid YAML: nested more than 50 levels deep"),
    "deep blocks": (
        b"".join(b" " * depth + b"a:\n" for depth in range(200)),
        ":51: invalid YAML: nested more than 50 levels deep",
    ),
    "large": (b"#" * (1 << 20) + b"\n" + FEW.encode(), ":1: not a file of callbacks: it is larger than 1 MiB"),
    "many values": (
        b"callbacks:\n  - WandbLogger: {notes: [" + b"1,\n" * 10_001 + b"]}",
        " holds more than 10000 values",
    ),
    "two documents": (b"callbacks: [SaveBest]\n---\na: 1\n", ":2: invalid YAML: `---` begins a second document"),
    "a wrong directive": (
        b"%YAML 3.0\n---\n" + FEW.encode(),
        ":1: invalid YAML: the file asks for another YAML than 1.1",
    ),
    "a long directive": (b"%YAML 1." + b"9" * 5000 + b"\n---\n" + FEW.encode(), ":1: invalid YAML: "),
    "keys twice": (b"callbacks: [SaveBest]\ncallbacks: [SaveBest]\n", ":2: 'callbacks' is given twice"),
    "an own alias at the top": (b"&a {callbacks: *a}", ":1: an alias contains itself"),
    "a merged key": (
        b"<<: {strikt: true}\ncallbacks: [SaveBest]\n",
        ":1: unknown key 'strikt', did you mean 'strict'?",
    ),
    "a merge of nothing": (
        b"<<: 1\ncallbacks: [SaveBest]\n",
        ":1: invalid YAML: `<<` needs a mapping or list of mappings",
    ),
    "no callbacks": (b"strict: false\n", ":1: `callbacks:` is missing"),
    "a mapping of callbacks": (b"callbacks: {SaveBest: }\n", ":1: `callbacks:` must be a list"),
    "null": (b"callbacks:\n  - ~\n", ":2: no callback is called '~'"),
    "a flag": (b"callbacks: [SaveBest]\nstrict: !!bool maybe\n", ":2: invalid YAML: 'maybe' is not a valid !!bool"),
    "a flag of text": (b"callbacks: [SaveBest]\nreport: 'yes'\n", ":2: report must be True or False, received 'yes'"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none(name, capsys, folder):
    content, said = FILES[name]
    (folder / "callbacks.yaml").write_bytes(content)
    line = refused(capsys)
    assert re.match(r"callbacks\.yaml:\d+: ", line)
    assert said in line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.yaml", "none.yaml: No such file or directory"),
        ("no/such.yaml", "no/such.yaml: No such file or directory"),
        ("folder.yaml", "folder.yaml: Is a directory"),
        ("loop.yaml", "loop.yaml: Too many levels of symbolic links"),
        ("x" * 300 + ".yaml", "x.yaml: File name too long"),
        ("a\nb\x1b.yaml", "a b\\x1b.yaml: No such file or directory"),
        ("nul\0.yaml", "nul\\x00.yaml: embedded null byte"),
        ("\udcff.yaml", "\\udcff.yaml: No such file or directory"),
    ],
)
def test_no_file_to_read(name, said, capsys, folder):
    (folder / "folder.yaml").mkdir()
    (folder / "loop.yaml").symlink_to("loop.yaml")
    assert refused(capsys, name).endswith(said)


def test_a_file_whose_name_is_not_utf_8(capsys, folder):
    name = os.fsdecode(b"\xff.yaml")
    (folder / name).write_text("callbacks: [SaveBst]\n")
    assert refused(capsys, name).startswith("\\udcff.yaml:1: no callback is called 'SaveBst'")


# Classes of somebody else ---------------------------------------------------------------------------------------------

MODULE = """
import sys
from yolo_callbacks import Callback

class Raising(Callback):
    def __init__(self, kind="ValueError", text="", **more):
        raise getattr(__import__("builtins"), kind)(text)

class Exiting(Callback):
    def __init__(self, code=0):
        sys.exit(code)

class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")

class Mute(Callback):
    def __init__(self):
        raise Silent

class Shy(Callback):
    def __new__(cls):
        return object()

class Clashing(Callback):
    def output_files(self, task):
        raise RuntimeError("claims\\nfail")

class Keyless(Callback):
    def state_key(self, task):
        raise KeyError("key")

class Same(Callback):
    def __init__(self, file):
        self.file = file
    def output_files(self, task):
        return {self.file}

class Annotated(Callback):
    def __init__(self, a: "int | 'x' ! nonsense" = 1):
        self.a = a

class Meta(type):
    @property
    def __signature__(cls):
        raise RuntimeError("no signature")

class Opaque(Callback, metaclass=Meta):
    def __init__(self, a=1): ...

class Unshown:
    def __repr__(self):
        raise RuntimeError("no repr")

unshown = Unshown()
"""
IMPORTS = {
    "raise SystemExit": "SystemExit",
    "raise SystemExit(0)": "SystemExit: 0",
    "import sys; sys.exit('line one\\nline two')": "SystemExit: line one line two",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
    "raise RuntimeError('a\\nb\\x1b[31m')": "RuntimeError: a b\\x1b[31m",
    "raise BaseException": "BaseException",
    "class Own(BaseException): ...\nraise Own('x')": "Own: x",
    "import no_such_module": "ModuleNotFoundError: No module named 'no_such_module'",
    "def f(:": "SyntaxError: invalid syntax",
    "x = 1": "AttributeError: module 'module_under_test' has no attribute 'Mine'",
    "def __getattr__(name):\n    raise SystemExit(3)": "SystemExit: 3",
    "def f(): f()\nf()": "RecursionError: maximum recursion depth exceeded",
    "raise ValueError('\\udcff')": "ValueError: \\udcff",
    "Mine = 3": "module_under_test:Mine is not a subclass of yolo_callbacks.Callback, it is 3",
}


@pytest.mark.parametrize("text", IMPORTS)
def test_a_module_that_cannot_be_imported(text, capsys, folder, monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "module_under_test", raising=False)
    (folder / "module_under_test.py").write_text(text)
    (folder / "callbacks.yaml").write_text("callbacks:\n  - SaveBest\n  - module_under_test:Mine\n")
    line = refused(capsys)
    assert line.startswith("callbacks.yaml:3: module_under_test:Mine ")
    assert IMPORTS[text] in line


OF_ANOTHER_LIBRARY = {
    "ModelCheckpoint": ": here that is SaveBest (there are",
    "mine.Streak": "; a class of your own is written mine:Streak)",
    "SaveBest:top_k=3": "arguments need a YAML file, which `yolo-callbacks init` writes",
    "theirs_too:Streek": "has no attribute 'Streek', did you mean 'Streak'?",
}


@pytest.mark.parametrize("name", OF_ANOTHER_LIBRARY)
def test_a_name_that_is_known_elsewhere_gets_advice(name, capsys, folder):
    (folder / "theirs_too.py").write_text("from yolo_callbacks import Callback\nclass Streak(Callback): ...\n")
    (folder / "callbacks.yaml").write_text(f"callbacks:\n  - {name}\n")
    assert OF_ANOTHER_LIBRARY[name] in refused(capsys)


CLASSES = {
    "Raising": ":2: theirs:Raising: ValueError",
    "Raising: {kind: SystemExit, text: bye}": ":2: theirs:Raising: SystemExit: bye",
    "Raising: {kind: KeyboardInterrupt}": ":2: theirs:Raising: KeyboardInterrupt",
    "Raising: {kind: BaseException, text: 'a\\nb'}": ":2: theirs:Raising: BaseException: a",
    "Raising: {kind: MemoryError}": ":2: theirs:Raising: MemoryError",
    "Exiting": ":2: theirs:Exiting: SystemExit: 0",
    "Exiting: {code: 3}": ":2: theirs:Exiting: SystemExit: 3",
    "Mute": ":2: theirs:Mute: Silent",
    "Shy": ":2: theirs:Shy: made an object of type object, not a callback",
    "Clashing": ":2: RuntimeError: claims fail",
    "Keyless": ":2: KeyError: 'key'",
    "Annotated: {b: 2}": ":2: theirs:Annotated has no argument 'b'",
    "Opaque": ":2: theirs:Opaque: RuntimeError: no signature",
    "unshown": ":2: theirs:unshown is not a subclass of yolo_callbacks.Callback, it is an object of type Unshown",
    "Same": ":2: theirs:Same needs the argument 'file'",
}


@pytest.mark.parametrize("text", CLASSES)
def test_a_class_that_cannot_be_made(text, capsys, folder):
    (folder / "theirs.py").write_text(MODULE)
    name, colon, rest = text.partition(":")
    (folder / "callbacks.yaml").write_text(f"callbacks:\n  - theirs:{name}{colon}{rest}\n")
    assert refused(capsys).startswith(f"callbacks.yaml{CLASSES[text]}")


# Secrets --------------------------------------------------------------------------------------------------------------

# What is given, and which argument and variable the line names.
NAMED = {
    "EarlyStopping: {patience: '${SECRET_A}'}": "patience (from ${SECRET_A})",
    "EarlyStopping: {patience: '${SECRET_C}'}": "patience (from ${SECRET_C})",
    "EarlyStopping: {min_delta: '${SECRET_D}'}": "min_delta (from ${SECRET_D})",
    "EarlyStopping: {check_finite: '${SECRET_E}'}": "check_finite (from ${SECRET_E})",
    "EarlyStopping: {mode: 'a${SECRET_C}b'}": "mode (from ${SECRET_C})",
    "EarlyStopping: {mode: '${SECRET_C}${SECRET_D}'}": "mode (from ${SECRET_C}, ${SECRET_D})",
    "EarlyStopping: {mode: ['${SECRET_F}']}": "mode (from ${SECRET_F})",
    "EarlyStopping: {monitor: {'a': '${SECRET_B}'}}": "monitor (from ${SECRET_B})",
    "SaveBest: {filename: '${SECRET_A}'}": "filename (from ${SECRET_A})",
    "SaveBest: {guard: {recall: '${SECRET_B}'}}": "guard (from ${SECRET_B})",
    "SaveBest: {top_k: '${SECRET_D}', filename: '${SECRET_B}'}": "top_k (from ${SECRET_D}), filename (from",
    "WandbLogger: {mode: '${SECRET_B}'}": "mode (from ${SECRET_B})",
    "WandbLogger: {images: '${SECRET_A}'}": "images (from ${SECRET_A})",
    "MemoryMonitor: {device: !!str '${SECRET_B}'}": "no argument 'device'",
    "ReduceLROnPlateau: {factor: '${SECRET_A}'}": "factor (from ${SECRET_A})",
    "EarlyStopping: {patience: !!int '${SECRET_A}'}": "${SECRET_A} is not a valid !!int",
    "EarlyStopping: {patience: !!bool '${SECRET_B}'}": "${SECRET_B} is not a valid !!bool",
    "EarlyStopping: {patience: !!timestamp '${SECRET_E}'}": "${SECRET_E} is not a valid !!timestamp",
    "EarlyStopping: {patience: !!binary '${SECRET_E}'}": "${SECRET_E} is not a valid !!binary",
    "EarlyStopping: {patience: !mine '${SECRET_C}'}": "the tag '!mine' is not known: put a text that begins",
    "EarlyStopping: '${SECRET_A}'": "the arguments of EarlyStopping must have names",
    "EarlyStopping: {'<<': '${SECRET_A}'}": "EarlyStopping has no argument '<<'",
    "EarlyStopping: {<<: '${SECRET_A}'}": "`<<` needs a mapping or list of mappings",
    "EarlyStopping: {patiance: '${SECRET_A}'}": "EarlyStopping has no argument 'patiance', did you mean 'patience'?",
    "WandbLogger: {projekt: '${SECRET_A}'}": "WandbLogger has no argument 'projekt', did you mean 'project'?",
    "WandbLogger: {images: -1, entity: '${SECRET_A}'}": "WandbLogger: images must be at least 0, received -1",
    "'${SECRET_A}'": "no callback has the name in ${SECRET_A}",
    "'mine${SECRET_C}:Mine'": "no callback has the name in ${SECRET_C}",
    "theirs:Raising: {text: '${SECRET_A}'}": "ValueError; its text is not shown, since it may hold the value of an",
    "theirs:Raising: {kind: KeyError, text: '${SECRET_B}'}": "theirs:Raising: KeyError; its text is not shown",
    "theirs:Raising: {kind: SystemExit, more: '${SECRET_C}', text: q7}": "more (from ${SECRET_C})",
    "theirs:Exiting: {code: '${SECRET_B}'}": "SystemExit; its text is not shown",
}


@pytest.mark.parametrize("text", NAMED)
def test_the_value_of_a_variable_is_named_never_shown(text, capsys, folder):
    (folder / "theirs.py").write_text(MODULE)
    (folder / "callbacks.yaml").write_text(f"callbacks:\n  - {text}\n")
    line = refused(capsys)
    assert line.startswith("callbacks.yaml:2: ")
    assert NAMED[text] in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[SaveBest: {filename: '${SECRET_C}'}, SaveBest: {filename: '${SECRET_C}'}]", "SaveBest: filename (from ${SE"),
        ("[WandbLogger: {id: '${SECRET_B}'}, WandbLogger: {id: '${SECRET_B}'}]", "WandbLogger: id (from ${SECRET_B})"),
        (
            "['theirs:Same': {file: '${SECRET_B}'}, 'theirs:Same': {file: '${SECRET_B}'}]",
            "Same: file (from ${SECRET_B}",
        ),
        ("[SaveBest]\nstrict: '${SECRET_A}'", "strict must be True or False"),
        ("[SaveBest]\nreport: ${SECRET_C}", "report (from ${SECRET_C})"),
        ("${SECRET_A}", "`callbacks:` must be a list of at least one"),
    ],
)
def test_no_value_in_what_concerns_several(text, said, capsys, folder):
    (folder / "theirs.py").write_text(MODULE)
    (folder / "callbacks.yaml").write_text(f"callbacks: {text}\n")
    line = refused(capsys)
    assert re.match(r"callbacks\.yaml:[12]: ", line)
    assert said in line


def test_a_default_is_no_secret(capsys, folder):
    (folder / "callbacks.yaml").write_text("callbacks:\n  - SaveBest:\n      top_k: ${UNSET:-many}\n")
    assert refused(capsys) == "callbacks.yaml:3: SaveBest: top_k must be an integer, received 'many'"


def test_no_exception_behind_it_shows_the_value(folder):
    (folder / "callbacks.yaml").write_text("callbacks:\n  - SaveBest: {top_k: '${SECRET_A}'}\n")
    with pytest.raises(ValueError, match="SECRET_A") as raised:
        load("callbacks.yaml")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


# Generated ------------------------------------------------------------------------------------------------------------

GENERATED = [
    f"!!{tag} {value}"
    for tag in ("bool", "int", "float", "timestamp", "binary", "set", "omap", "pairs", "seq", "map")
    for value in ("''", "nothing", "'1.2.3'", "0x", "2026-99-99", "'!'")
    if (tag, value) not in (("binary", "''"), ("binary", "nothing"))
]


@pytest.mark.parametrize("value", GENERATED)
def test_every_tag_with_every_kind_of_text(value, capsys, folder):
    (folder / "callbacks.yaml").write_text(f"callbacks:\n  - EarlyStopping:\n      monitor: {value}\n")
    assert refused(capsys).startswith("callbacks.yaml:3: ")


# The names of files ---------------------------------------------------------------------------------------------------

_WINDOWS = [
    f"{name}{end}" for name in ("CON", "prn", "Aux", "nul", "COM1", "com9", "LPT1", "lpt0") for end in ("", ".x")
]


@pytest.mark.parametrize(
    "name",
    [*_WINDOWS, "CON.pt", "x.", "x..pt", "x ", " x", ".x", *(f"a{sign}b" for sign in '<>:"|?*/\\'), "x" * 230, ""],
)
def test_a_file_name_that_a_disk_may_refuse(name, capsys, folder):
    quoted = name.replace("'", "''")
    (folder / "callbacks.yaml").write_text(f"callbacks:\n  - SaveBest:\n      filename: '{quoted}'\n")
    line = refused(capsys)
    assert line.startswith("callbacks.yaml:3: SaveBest: filename must ")
    assert len(line) < 400


@pytest.mark.parametrize("name", ["CONSOLE", "com", "lpt10", "nully", "a.con", "x.y", "best-CON", "x" * 207])
def test_a_file_name_that_no_disk_refuses(name):
    assert SaveBest(filename=name).filename == name


@pytest.mark.training
def test_the_longest_file_name_can_be_written(train, scripted):
    from trainings import TINY
    from ultralytics import YOLO

    from yolo_callbacks import attach

    scripted([0.1, 0.2, 0.2])
    longest = next(length for length in range(255, 0, -1) if _accepted("x" * length))
    model, saved = YOLO(TINY), SaveBest("mAP50", filename="x" * longest, top_k=2)
    attach(model, saved, strict=True)
    train(model, epochs=2)
    assert [path.with_suffix(".json").is_file() for path in saved.best_k_models] == [True, True]


def _accepted(name: str) -> bool:
    try:
        return SaveBest(filename=name).filename == name
    except ValueError:
        return False


def test_check_lists_the_mistake_of_each_callback_and_a_training_the_first(tmp_path, capsys, monkeypatch):
    file = tmp_path / "callbacks.yaml"
    file.write_text("callbacks:\n  - SaveBest: {topk: 2}\n  - EarlyStoping\n  - EarlyStopping\nstrict: maybe\n")
    assert main(["check", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    expected = (
        "2: SaveBest has no argument 'topk'",
        "3: no callback is called 'EarlyStoping', did you mean 'EarlyStopping'?",
        "5: strict must be True or False",
    )
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert re.sub(r"^\S*callbacks.yaml:", "", line).startswith(start)
    with pytest.raises(ConfigError) as raised:
        load(str(file))
    assert str(raised.value) == lines[0]


def test_a_wrong_argument_that_is_required_costs_one_line(tmp_path, capsys):
    (tmp_path / "callbacks.yaml").write_text("callbacks:\n  - Unfreeze:\n      schedule: {0: head, 5: nekc}\n")
    line = refused(capsys)
    assert line.startswith("callbacks.yaml:3: Unfreeze: schedule must name layers by ")
    assert line.endswith("received 'nekc' for 5, did you mean 'neck'?")
