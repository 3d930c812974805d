"""`yolo-callbacks failures`: what it prints, what it writes for a label tool, and its mistakes."""

import json

import pytest

from yolo_callbacks.cli.command import main

IMAGES = {
    "images/a.png": {"tp": 0, "fp": 2, "fn": 3, "f1": 0.0, "right": False},
    "images/b.png": {"tp": 3, "fp": 1, "fn": 0, "f1": 0.8571, "right": True},
}
WORST = [{"image": name, **image, "wrong": []} for name, image in IMAGES.items()]
SWAPPED = {
    **{"image": "images/a.png", "kind": "swapped", "score": 0.91},
    "label": {"class": "car", "box": [0.1, 0.1, 0.5, 0.5]},
    "prediction": {"class": "van", "confidence": 0.95, "box": [0.1, 0.2, 0.5, 0.6]},
}
OVERLOOKED = {
    **{"image": "images/a.png", "kind": "overlooked", "score": 0.8},
    "prediction": {"class": "car", "confidence": 0.8, "box": [0.5, 0.5, 1.0, 1.0]},
}
LINE = {
    **{"confidence": 0.25, "worst": WORST, "flips": ["images/a.png"], "flips_since_best": []},
    **{"suspects": [SWAPPED, OVERLOOKED], "images": IMAGES},
}
TEXT = """1 of 2 images fail in epoch 2, at confidence 0.25

   TP   FP   FN     F1  image
    0    2    3  0.000  images/a.png
    3    1    0  0.857  images/b.png

Right before, wrong now: images/a.png

2 labels may be wrong, the most certain first:
  0.91  images/a.png: labelled car, predicted van
  0.80  images/a.png: car overlooked
"""


@pytest.fixture
def run(tmp_path):
    lines = [{"epoch": 1, **LINE, "confidence": None}, {"epoch": 2, **LINE}]
    (tmp_path / "failures.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return tmp_path


def test_the_lists_of_the_last_epoch(run, capsys):
    assert main(["failures", str(run)]) == 0
    assert capsys.readouterr().out == TEXT


def test_an_epoch_and_fewer_of_each_list(run, capsys):
    assert main(["failures", str(run / "failures.jsonl"), "--epoch", "1", "--top", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 of 2 images fail in epoch 1\n")
    assert "images/b.png" not in said
    assert "overlooked" not in said
    assert said.count("  and 1 more; --top 2 shows 2\n") == 2


def test_what_the_file_does_not_have_is_counted(run, capsys):
    line = {"epoch": 3, **LINE, "suspected": 12}
    (run / "failures.jsonl").write_text(f"{json.dumps(line)}\n")
    assert main(["failures", str(run)]) == 0
    assert "12 labels may be wrong, the most certain first:\n" in capsys.readouterr().out
    assert main(["failures", str(run), "--top", "2"]) == 0
    assert capsys.readouterr().out.endswith("  and 10 more; FailingImages(top=…) stores more\n")


def test_tasks_for_label_studio(run, capsys):
    target = run / "tasks.json"
    assert main(["failures", str(run), "--label-studio", str(target)]) == 0
    (task,) = json.loads(target.read_text())
    assert task["data"] == {"image": "images/a.png", "kinds": ["labelled car, predicted van", "car overlooked"]}
    (made,) = task["predictions"]
    assert made["score"] == 0.91
    first = made["result"][0]
    assert (first["type"], first["from_name"], first["to_name"]) == ("rectanglelabels", "label", "image")
    assert first["value"]["rectanglelabels"] == ["van"]
    assert [first["value"][name] for name in ("x", "y", "width", "height")] == pytest.approx([10, 20, 40, 40])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epoch", "7"], "has no epoch 7 (there are 1, 2)"),
        (["--top", "0"], "--top must be at least 1, received 0"),
        (["--label-studio", "nowhere/tasks.json"], "nowhere/tasks.json cannot be written: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(run, capsys, arguments, said):
    assert main(["failures", str(run), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_run_without_the_callback(tmp_path, capsys):
    assert main(["failures", str(tmp_path)]) == 2
    assert f"{tmp_path} has no failures.jsonl: FailingImages was not in its suite" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{\n", "[]\n", '{"epoch": "one"}\n'])
def test_a_file_of_other_content(tmp_path, capsys, content):
    (tmp_path / "failures.jsonl").write_text(content)
    assert main(["failures", str(tmp_path)]) == 2
    assert "has no line that can be read" in capsys.readouterr().err


@pytest.mark.parametrize("line", [{"epoch": 1}, {"epoch": 1, "images": 3, "worst": [1, {}], "suspects": [{}, None]}])
def test_values_of_other_kinds_are_left_out(tmp_path, capsys, line):
    (tmp_path / "failures.jsonl").write_text(f"{json.dumps(line)}\n")
    assert main(["failures", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("0 of 0 images fail in epoch 1\n")
