"""A file of callbacks: what it may contain, the messages about mistakes, and the schema that editors use."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from yolo_callbacks import Callback
from yolo_callbacks.config import loading, registry, schema
from yolo_callbacks.config.loading import load
from yolo_callbacks.config.yaml_file import ConfigError
from yolo_callbacks.suite.attaching import default_suite


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return tmp_path


def write(text: str) -> str:
    Path("callbacks.yaml").write_text(text)
    return "callbacks.yaml"


class Strange(Callback):
    """A callback that nobody would write."""

    def __init__(self, needed: int, *, hook: "Unknown" = None, **others: object) -> None:  # noqa: F821, UP037
        if needed > 1:
            raise KeyError("a missing\nkey")
        self.needed, self.others = needed, others


def test_names_arguments_and_flags():
    read = load(
        write(
            "callbacks:\n"
            "  - SaveBest: {monitor: {mAP50: 0.1, mAP50-95: 0.9}, min_delta: 1e-3}\n"
            "  - EarlyStopping:\n      patience: 20\n      min_delta: 5E-2\n"
            "  - JsonlLogger\n"
            "  - ReduceLROnPlateau:\n"
            "  - WandbLogger: {log_model: false, tags: [a, b]}\n"
            "strict: true\nreport: true\n"
        )
    )
    best, stopping, _, plateau, wandb = read.callbacks
    assert [type(callback).__name__ for callback in read.callbacks[2:4]] == ["JsonlLogger", "ReduceLROnPlateau"]
    assert (best.min_delta, stopping.patience, stopping.min_delta, plateau.patience) == (1e-3, 20, 5e-2, 10)
    assert (wandb.log_model, wandb.init) == (False, {"tags": ["a", "b"]})
    assert (read.strict, read.report) == (True, True)
    assert [read.origin(callback) for callback in (best, stopping, wandb)] == [
        f"callbacks.yaml:{line}" for line in (2, 3, 8)
    ]


def test_default_is_the_suite_of_attach():
    read = load("default")
    assert [type(callback) for callback in read.callbacks] == [type(callback) for callback in default_suite()]
    assert (read.strict, read.report) == (False, False)


def test_anchors_and_merge_keys():
    read = load(
        write("callbacks:\n  - EarlyStopping: &all {mode: max, monitor: mAP50}\n  - SaveBest: {<<: *all, top_k: 2}\n")
    )
    assert read.callbacks[1].top_k == 2
    assert read.callbacks[1].monitor.mode == "max"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${NUMBER}", 7),
        ("'${NUMBER}'", "7"),
        ("team-${NUMBER}", "team-7"),
        ("${UNSET:-3}", 3),
        ("${EMPTY:-x y}", "x y"),
        ("'${EMPTY}'", ""),
        ("${UNSET:-}", None),
        ("'$NUMBER {NUMBER}'", "$NUMBER {NUMBER}"),
        ("1.5e2", 150.0),
        ("'1e-4'", "1e-4"),
        ("[1, {a: '${NUMBER}'}]", [1, {"a": "7"}]),
    ],
)
def test_values(written, value, monkeypatch):
    monkeypatch.setenv("NUMBER", "7")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)
    (wandb,) = load(write(f"callbacks:\n  - WandbLogger:\n      notes: {written}\n")).callbacks
    assert wandb.init == {"notes": value}


MISTAKES = {
    "": ":1: the file is empty, expected `callbacks:` with a list",
    "- SaveBest": ":1: expected `callbacks:` with a list",
    "\ncallback: [SaveBest]": ":2: unknown key 'callback', did you mean 'callbacks'? (there are",
    "strict: true": ":1: `callbacks:` is missing; it must be a list",
    "callbacks: []": ":1: `callbacks:` must be a list of at least one",
    "callbacks: SaveBest": ":1: `callbacks:` must be a list of at least one",
    "callbacks:\n  - SaveBest\n  - EarlyStoping": ":3: no callback is called 'EarlyStoping', did you mean 'Early",
    "callbacks:\n  - [SaveBest]": ":2: expected the name of a callback, or a name with arguments",
    "callbacks:\n  - {}": ":2: expected the name of a callback",
    "callbacks:\n  - LambdaCallback": ":2: LambdaCallback cannot be used here: its arguments are functions. Attach",
    "callbacks:\n  - yolo_callbacks:LambdaCallback": ":2: yolo_callbacks:LambdaCallback cannot be used here: its arg",
    "callbacks:\n  - MonitorCallback: {monitor: mAP50}": ":2: MonitorCallback cannot be used here: it is a base class",
    "callbacks:\n  - Callback": ":2: no callback is called 'Callback'",
    "callbacks:\n  - SaveBest: mAP50": ":2: the arguments of SaveBest must have names",
    "callbacks:\n  - SaveBest:\n    top_k: 2": ":3: 'top_k' is on the same level as 'SaveBest': indent the arguments",
    "callbacks:\n  - SaveBest: {top_k: 2}\n    JsonlLogger:": (
        ":3: 'JsonlLogger' is on the same level as 'SaveBest': write a `-`"
    ),
    "callbacks:\n  - SaveBest:\n      topk: 2": ":3: SaveBest has no argument 'topk', did you mean 'top_k'? (it t",
    "callbacks:\n  - JsonlLogger:\n      file: x": ":3: JsonlLogger has no argument 'file' (it takes none, besides ep",
    "callbacks:\n  - Deadline: {time: 1h}": ":2: Deadline has no argument 'time', did you mean 'duration'? (it takes",
    "callbacks:\n  - EarlyStopping: {metric: mAP50}": ":2: EarlyStopping has no argument 'metric', did you mean 'moni",
    "callbacks:\n  - SaveBest: {epocs: 3}": ":2: SaveBest has no argument 'epocs', did you mean 'epochs'?",
    "callbacks:\n  - Deadline: '11:50:00'": (
        ":2: the arguments of Deadline must have names: write `Deadline: {duration: '11:50:00'}`"
    ),
    'callbacks:\n  - WandbLogger: "crowns"': (
        ':2: the arguments of WandbLogger must have names: write `WandbLogger: {project: "crowns"}`'
    ),
    "callbacks:\n  - Preemption: [SIGUSR1]": (
        ":2: the arguments of Preemption must have names: write `Preemption: {signals: […]}`"
    ),
    "callbacks:\n  - SpeedMonitor: 'x'": ":2: the arguments of SpeedMonitor must have names: it takes none",
    "callbacks:\n  - WandbLogger:\n      projekt: a": (
        ":3: WandbLogger has no argument 'projekt', did you mean 'project'?"
    ),
    "callbacks:\n  - WandbLogger:\n      tags: [a]\n      name: b\n      grup: c\n      project: d": (
        ":5: WandbLogger has no argument 'grup', did you mean 'group'?"
    ),
    "callbacks:\n  - SaveBest\n  - WandbLogger: {xyz: 1, images: -1}": (
        ":3: WandbLogger has no argument 'xyz', and wandb.init has none"
    ),
    "callbacks: [JsonlLogger, JsonlLogger]": ":1: JsonlLogger and JsonlLogger would both write callbacks.jsonl: attach",
    "callbacks:\n  - WandbLogger: {id: a}\n  - WandbLogger: {id: a, images: 0}": (
        ":3: WandbLogger and WandbLogger would both write the W&B run of id 'a': give one of them a name, project or id"
    ),
    "callbacks:\n  - SaveBest:\n      monitor: mAP50\n      top_k: 0": ":4: SaveBest: top_k must be at least 1",
    "callbacks:\n  - SaveBest:\n      top_k: 2\n      top_k: 3": ":4: 'top_k' is given twice",
    "strict: 1\ncallbacks: [SaveBest]": ":1: strict must be True or False, received 1",
    "callbacks: [SaveBest, SaveBest]": ":1: SaveBest and SaveBest would both write weights/best-map50-95.pt",
    "callbacks: [SaveBest": ":1: invalid YAML: `[` is not closed: `]` is missing",
    "callbacks:\n\t- SaveBest": ":2: invalid YAML: a tab cannot indent; use spaces",
    "callbacks: [SaveBest]\n---\na: 1": ":2: invalid YAML: `---` begins a second document",
    "callbacks:\n  - SaveBest: {top_k: ${TOP_K}}": ":2: invalid YAML: with ${…}, write each argument",
    "callbacks:\n  - SaveBest:\n      top_k: ${UNSET}": ":3: UNSET is not set in the environment: set it",
    "callbacks:\n  - SaveBest:\n      top_k: !!python/object/apply:os.system [x]": ":3: invalid YAML: the tag '!!py",
    "strict: !!python/name:os.system\ncallbacks: [SaveBest]": ":1: invalid YAML: the tag '!!python/name:os.system' is",
    "callbacks: &all [*all]": ":1: an alias contains itself",
    "? [a]\n: 1": ":1: a key must be a name",
    "callbacks:\n  - SaveBest: {top_k: \x00}": ":2: invalid YAML: the character #x0000 is not allowed",
    "callbacks: " + "[" * 5000: ":1: invalid YAML: nested more than 50 levels deep",
    "callbacks: [no.such:Module]": ":1: no.such:Module cannot be imported: ModuleNotFoundError: No module named 'no'",
    "callbacks: ['os:path']": ":1: os:path is not a subclass of yolo_callbacks.Callback, it is <module",
    f"callbacks: ['{__name__}:Strange']": f":1: {__name__}:Strange needs the argument 'needed'",
    f"callbacks:\n  - {__name__}:Strange:\n      needed: 2": f":2: {__name__}:Strange: KeyError: 'a missing\\nkey'",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text[:60])
def test_a_mistake_is_reported_in_one_line_with_its_place(text, monkeypatch):
    monkeypatch.delenv("UNSET", raising=False)
    with pytest.raises(ConfigError) as raised:
        load(write(text))
    message = str(raised.value)
    assert message.startswith(f"callbacks.yaml{MISTAKES[text]}")
    assert "\n" not in message


SEVERAL = """\
stric: true
callbacks:
  - SaveBst
  - SaveBest:
      monitor: mAP50
      topk: 2
      modus: max
  - EarlyStopping:
      patience: -1
      min_delta: small
      mode: up
  - MemoryCleanup
  - WandbLogger: {images: -1, projekt: x}
report: 1
"""


def test_all_mistakes_of_a_file_are_found():
    with pytest.raises(ConfigError) as raised:
        load(write(SEVERAL))
    beginnings = [
        "1: unknown key 'stric', did you mean 'strict'?",
        "3: no callback is called 'SaveBst', did you mean 'SaveBest'?",
        "6: SaveBest has no argument 'topk', did you mean 'top_k'?",
        "7: SaveBest has no argument 'modus', did you mean 'mode'?",
        "9: EarlyStopping: patience must be",
        "10: EarlyStopping: min_delta must be",
        "11: EarlyStopping: mode must be",
        "13: WandbLogger has no argument 'projekt', did you mean 'project'?",
        "13: WandbLogger: images must be",
        "14: report must be True or False, received 1",
    ]
    found = [str(each).removeprefix("callbacks.yaml:") for each in (raised.value, *raised.value.others)]
    assert [text for each, text in zip(found, beginnings, strict=True) if not each.startswith(text)] == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("none.yaml", "none.yaml: No such file or directory"),
        ("/no/such.yml", "/no/such.yml: No such file or directory"),
        ("./", ".: Is a directory"),
        (" , ", "YOLO_CALLBACKS is ' , ': give a YAML file, names of callbacks, or default"),
        ("SaveBest,Erly", "YOLO_CALLBACKS: no callback is called 'Erly', did you mean 'EarlyStopping'?"),
        ("SaveBest,SaveBest", "YOLO_CALLBACKS: SaveBest and SaveBest would both write"),
    ],
)
def test_other_values_of_the_variable(value, said):
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}"):
        load(value)


def test_no_utf_8():
    Path("callbacks.yaml").write_bytes(b"callbacks: [\xff]")
    with pytest.raises(ConfigError, match=r"^callbacks.yaml:1: invalid YAML: not UTF-8"):
        load("callbacks.yaml")


def test_a_wrong_value_of_the_environment_for_a_needed_argument_is_named(monkeypatch):
    monkeypatch.setenv("STORE", "ftp:/me:sesame@host/x")
    with pytest.raises(
        ConfigError, match=r"Mirror: url must be str: ValueError; .* url \(from \$\{STORE\}\)"
    ) as caught:
        load(write("callbacks:\n  - Mirror:\n      url: ${STORE}\n"))
    assert "sesame" not in str(caught.value)


def test_a_value_of_the_environment_is_never_shown(monkeypatch):
    """In no message, and in no exception behind it."""
    monkeypatch.setenv("API_KEY", "s3cret-key")
    said = r"callbacks.yaml:3: SaveBest: top_k must be int: TypeError; its text .* top_k \(from \${API_KEY}\)$"
    with pytest.raises(ConfigError, match=said) as raised:
        load(write("callbacks:\n  - SaveBest:\n      top_k: ${API_KEY}\n"))
    assert raised.value.__suppress_context__
    assert "s3cret" not in str(raised.value)


def test_callbacks_that_clash_for_some_tasks_only():
    """The main metric of a detection model is this one, that of a segmentation model another: the run decides."""
    assert len(load(write("callbacks:\n  - SaveBest\n  - SaveBest: {monitor: mAP50-95}\n")).callbacks) == 2


def test_a_module_beside_the_file_and_one_offered_by_a_package(folder, monkeypatch):
    (folder / "below").mkdir()
    (folder / "below" / "own_module.py").write_text(
        "from yolo_callbacks import Callback\nclass A:\n  class B(Callback): ...\n"
    )
    point = metadata.EntryPoint("Offered", f"{__name__}:Strange", registry.GROUP)
    ours = metadata.EntryPoint("SaveBest", f"{__name__}:Strange", registry.GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point, ours] if group == registry.GROUP else [])
    (folder / "below" / "c.yml").write_text(
        "callbacks:\n  - own_module:A.B\n  - Offered: {needed: 1, more: 2}\n  - SaveBest\n"
    )
    own, offered, best = load("below/c.yml").callbacks
    assert type(own).__name__ == "B"
    assert isinstance(offered, Strange)
    assert offered.others == {"more": 2}
    assert type(best).__module__ == "yolo_callbacks.callbacks.save_best"


# The schema and the file to start from ------------------------------------------------------------------------------


def conforms(text: str) -> bool:
    import jsonschema  # not on every machine with a GPU

    return jsonschema.Draft7Validator(schema.schema()).is_valid(yaml.safe_load(text))


def test_the_schema_that_is_shipped_is_that_of_the_signatures():
    import jsonschema

    assert json.loads(schema.PATH.read_text()) == schema.schema(), "run `python -m yolo_callbacks.config.schema`"
    jsonschema.Draft7Validator.check_schema(schema.schema())


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("callbacks: [SaveBest, {EarlyStopping: {patience: 3}}, {JsonlLogger: }]\nstrict: true", True),
        ("callbacks: [{SaveBest: {monitor: {mAP50: 0.5}, guard: {recall: 0.1}, top_k: '${K}'}}]", True),
        ("callbacks: ['mine:Own', Offered, {'mine:Own': {anything: [1]}}, {WandbLogger: {tags: [a]}}]", True),
        ("callbacks: [{EarlyStopping: {patiance: 3}}]", False),
        ("callbacks: [{EarlyStopping: {patience: many}}]", False),
        ("callbacks: [{WandbLogger: {log_model: last}}]", False),
        ("callbacks: [{SaveBest: 1}]", False),
        ("callbacks: []", False),
        ("callbacks: [SaveBest]\nstrikt: true", False),
    ],
)
def test_what_the_schema_accepts(text, right):
    assert conforms(text) is right


def test_the_file_to_start_from_is_the_default_suite():
    text = schema.template("./callbacks.schema.json")
    assert conforms(text)
    read = load(write(text))
    for callback, default in zip(read.callbacks, default_suite(), strict=True):
        assert {name: value for name, value in vars(callback).items() if isinstance(value, (int, float, str))} == {
            name: value for name, value in vars(default).items() if isinstance(value, (int, float, str))
        }
    assert text.startswith("# yaml-language-server: $schema=./callbacks.schema.json\n")
    assert text.endswith(schema.template())
    assert {name: yaml.safe_load(text)[name] for name in loading._FLAGS} == dict.fromkeys(loading._FLAGS, False)


def test_every_line_of_it_can_be_used():
    """Everything that is commented out is right, and is what the signatures say."""
    known = registry.own()
    text = re.sub(r"^( *)# ( *(?:- )?\w+:(?: |$))", r"\1\2", schema.template(), flags=re.MULTILINE)
    assert conforms(text)
    read = load(write(text))
    assert {type(callback) for callback in read.callbacks} == set(known.values())
    written = {name: arguments or {} for item in yaml.safe_load(text)["callbacks"] for name, arguments in item.items()}
    assert {name: list(arguments) for name, arguments in written.items()} == {
        name: [argument.name for argument in registry.arguments(callback)] for name, callback in known.items()
    }


@pytest.mark.parametrize(
    ("written", "text"),
    [('"10:"', "10:"), ("10:50", "10:50"), ('":50"', ":50"), ("7", "7"), ('"-10:"', "-10:"), ("-3", "-3")],
)
def test_the_epochs_of_a_callback(written, text):
    read = load(write(f"callbacks:\n  - SaveBest:\n      monitor: mAP50\n      epochs: {written}\n  - MemoryCleanup\n"))
    saved, cleanup = read.callbacks
    assert (saved.epoch_filter.text, saved.monitor_name, cleanup.epoch_filter) == (text, "mAP50", None)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0", "SaveBest: epochs are counted from 1, received 0"),
        ("every", 'SaveBest: epochs must be such as "10:50"'),
        ("[1, 2]", "SaveBest: epochs must be a string or an integer, received [1, 2]"),
        ("1.5", "SaveBest: epochs must be a string or an integer, received 1.5"),
    ],
)
def test_wrong_epochs_of_a_callback(written, said):
    with pytest.raises(ConfigError, match=re.escape(f"callbacks.yaml:4: {said}")):
        load(write(f"callbacks:\n  - SaveBest:\n      top_k: 2\n      epochs: {written}\n"))


def test_a_misspelt_epochs_names_it():
    with pytest.raises(ConfigError, match="SaveBest has no argument 'epoch', did you mean 'epochs'"):
        load(write("callbacks:\n  - SaveBest: {epoch: 3}\n"))


@pytest.mark.parametrize(
    ("written", "value"), [("1e-4", 1e-4), ("10:50", "10:50"), ("11:50:00", "11:50:00"), ("-.5", -0.5), (".", ".")]
)
def test_numbers_are_those_of_yaml_1_2(written, value, monkeypatch):
    read = load(write(f"callbacks:\n  - {__name__}:Strange:\n      needed: 1\n      more: {written}\n"))
    assert read.callbacks[0].others == {"more": value}


def test_configuration_knows_no_other_origin():
    assert loading.Configuration(()).origin(Callback()) == "YOLO_CALLBACKS"


def test_a_module_that_is_not_found_names_the_folder(tmp_path):
    expected = f"No module named 'nowhere' (not installed, and not in {tmp_path})"
    with pytest.raises(ValueError, match=re.escape(expected)):
        registry.find("nowhere:Mine", tmp_path)
