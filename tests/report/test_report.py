"""The report and the picture of a run: from real trainings, with our suite and without, read back as a browser does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import cv2
import digits
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_page import Page
from run_content import failing_run
from trainings import FAST, TINY, as_task, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, MemoryMonitor, ReduceLROnPlateau, SaveBest, attach
from yolo_callbacks.cli.command import main
from yolo_callbacks.report import report
from yolo_callbacks.report.at_end import ReportOutputs
from yolo_callbacks.report.monitors import monitored
from yolo_callbacks.report.reading import read_run
from yolo_callbacks.report.words import number
from yolo_callbacks.utils.redaction import MASK, clean_arguments

NO_PLOTS: dict[str, Any] = {"plot_metrics": lambda: None, "plot_training_labels": lambda: None}
HOSTILE = "<script>alert('$x$')</script>"
SECTIONS = (
    *("events", "final", "quality", "classes", "losses", "rate"),
    *("images", "cost", "setup", "configuration"),
)


@pytest.fixture(scope="module")
def hostile_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = digits.detection(tmp_path_factory.mktemp("hostile"), train=8, val=4, size=32)
    data.write_text(data.read_text().replace("zero", json.dumps(HOSTILE)))
    return data


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, hostile_scenes: Path) -> Path:
    """A run with everything to show: two reductions of the learning rate, and a stop at epoch 4 of 9."""
    model = YOLO(TINY)
    never = 1e9
    attach(
        model,
        SaveBest("val/box_loss", top_k=2, skip_untrained=False),
        SaveBest(f"mAP50/{HOSTILE}", skip_untrained=False),
        EarlyStopping("val/loss", patience=3, min_delta=never, skip_untrained=False),
        ReduceLROnPlateau("mAP50", patience=0, cooldown=1, min_delta=never, skip_untrained=False),
        MemoryMonitor(),
        report=True,
    )
    # Ultralytics' own plots take seconds. The slow trainings of other tasks draw them.
    model.add_callback("on_pretrain_routine_start", lambda trainer: vars(trainer).update(NO_PLOTS))
    model.add_callback("on_val_start", lambda validator: vars(validator.args).update(plots=False))
    folder = tmp_path_factory.mktemp("ours")
    model.train(
        **{**FAST, "data": str(hostile_scenes), "epochs": 9, "project": str(folder), "name": "a", "plots": True}
    )
    return folder / "a"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory, hostile_scenes: Path) -> Path:
    """A run without us."""
    folder = tmp_path_factory.mktemp("theirs")
    model = YOLO(TINY)
    model.train(**{**FAST, "data": str(hostile_scenes), "epochs": 2, "project": str(folder), "name": "b"})
    return folder / "b"


@pytest.mark.training
def test_the_report_of_a_run(ours, messages):
    page = Page(ours / "report.html")  # written by the training
    assert tuple(page.sections) == SECTIONS
    rows = results_csv(ours)
    assert len(rows) == 4

    box_loss = page.charts["box loss"]
    assert (box_loss["epochs"], box_loss["reductions"], box_loss["stop"]) == ([1, 2, 3, 4], [2, 4], 4)
    assert page.values("box loss", "validation") == [number(row["val/box_loss"]) for row in rows]
    assert page.values("box loss", "training") == [number(row["train/box_loss"]) for row in rows]
    assert page.values("mAP50-95", "mAP50-95") == [number(row["metrics/mAP50-95(B)"]) for row in rows]
    assert len(page.values("host memory, GiB", "process, training")) == 4
    assert len(page.values("mAP50-95 by class", HOSTILE)) == 4
    assert "best 0.000 · epoch 1" not in page.text  # nothing was detected: no epoch is the best
    assert "Stopped, val/loss: no improvement of more than 1e+09 in 3 checks" in page.text
    assert page.rows["Epochs"] == [["4", "of 9 planned, stopped by EarlyStopping"]]

    kept = json.loads((ours / "callbacks.images.json").read_text())
    assert page.tags.count("rect") >= sum(len(image["truth"]) + len(image["predictions"]) for image in kept["images"])
    assert sum(len(image["truth"]) for image in kept["images"]) > 0
    again = report(ours)
    assert (again, tuple(Page(again).sections)) == (ours / "report.html", SECTIONS)
    assert messages == []


@pytest.mark.training
def test_a_name_is_text(ours):
    page = Page(ours / "report.html")
    assert page.tags.count("script") == 1
    assert HOSTILE in page.text
    assert all(link.startswith("data:") or link.startswith("#") for link in page.links)


@pytest.mark.training
def test_the_picture_beside_results_png(ours, theirs):
    picture = cv2.imread(str(ours / "callbacks.png"))
    assert picture.shape[1] > 900
    assert picture.std() > 5  # something is drawn on it
    run = read_run(ours)
    assert set(monitored(run)) == {"val/box_loss", "val/loss", "mAP50", f"mAP50/{HOSTILE}"}
    rows = results_csv(ours)
    losses = [sum(row[f"val/{name}_loss"] for name in ("box", "cls", "dfl")) for row in rows]
    assert list(monitored(run)["val/loss"].values()) == pytest.approx(losses, rel=1e-4)


@pytest.mark.training
def test_without_plots_nothing_is_drawn_and_without_report_nothing_written(train):
    model = YOLO(TINY)
    attach(model, SaveBest(skip_untrained=False))
    folder = train(model, epochs=1)
    assert not {"callbacks.png", "report.html", "callbacks.jsonl", "callbacks.images.json"} & {
        path.name for path in folder.iterdir()
    }


def test_a_report_that_cannot_be_written_costs_one_warning(tmp_path, messages):
    folder = synthetic(tmp_path / "run", epochs=3, classes=2)
    (folder / "report.html").mkdir()
    ReportOutputs().write_report(folder)
    (warning,) = messages
    assert "no report.html: IsADirectoryError" in warning


@pytest.mark.training
def test_a_run_without_us(theirs, tmp_path):
    page = Page(report(theirs))
    assert page.sections == ["quality", "losses", "setup", "configuration"]
    assert page.charts["dfl loss"]["epochs"] == [1, 2]

    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(theirs / "results.csv", alone)
    path = report(alone / "results.csv", output=tmp_path / "named.html")
    assert path == tmp_path / "named.html"
    assert Page(path).sections == ["quality", "losses", "setup"]


@pytest.mark.training
@pytest.mark.parametrize(
    ("task", "charts", "sections"),
    [
        pytest.param(
            "segment",
            {"mAP50-95 masks", "mAP50", "precision and recall masks", "seg loss"},
            {"classes", "final"},
            marks=pytest.mark.slow,
        ),
        pytest.param("classify", {"accuracy top1", "accuracy top5", "loss"}, {"final"}, marks=pytest.mark.slow),
    ],
)
def test_other_tasks(task, charts, sections, train, scenes, tmp_path):
    classify = task == "classify"
    data = digits.classification(tmp_path / "data", train=4, val=2) if classify else None
    model = YOLO(f"yolo11n-{'cls' if classify else 'seg'}.yaml")
    attach(model, SaveBest(skip_untrained=False), report=True)
    folder = train(model, data=str(data or as_task(scenes, tmp_path / "data", task)), epochs=2, plots=True)
    page = Page(folder / "report.html")
    assert charts <= set(page.charts)
    assert ({"events", "quality", "losses", "images", "plots", "cost", "setup", "configuration"} | sections) - set(
        page.sections
    ) == set()
    assert (folder / "callbacks.png").is_file()
    assert page.sections.count("classes") == (not classify)


@pytest.mark.training
def test_several_runs_side_by_side(ours, theirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "b"
    shutil.copytree(theirs, copy, ignore=shutil.ignore_patterns("weights"))
    path = report(ours, theirs, copy)
    assert path == tmp_path / "comparison.html"  # the runs have different parents
    assert report(theirs, ours, output=tmp_path / "named.html") == tmp_path / "named.html"
    page = Page(path)
    labels = ["a", f"{theirs.parent.name}/b", f"{tmp_path.name}/b"]
    assert [line["label"] for line in page.charts["mAP50"]["lines"]] == labels
    first, second = results_csv(ours), results_csv(theirs)
    best = min(row["val/box_loss"] for row in (*first, *second))
    assert number(best) in page.text
    assert page.values("box loss, validation", labels[1]) == [
        *(number(row["val/box_loss"]) for row in second),
        *[""] * (len(first) - len(second)),
    ]
    assert page.sections == ["values", "quality", "classes", "losses", "configuration"]
    assert "plots" in page.text  # an argument that differs
    assert "workers" not in page.text


@pytest.mark.training
def test_what_is_broken_is_left_out(ours, tmp_path, messages):
    folder = tmp_path / "broken"
    shutil.copytree(ours, folder, ignore=shutil.ignore_patterns("*.pt"))
    for name in ("callbacks.json", "args.yaml", "results.csv", "callbacks.jsonl"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(0.9 * len(content))] if name != "args.yaml" else b"a: [")
    other = json.loads((ours / "callbacks.images.json").read_text())
    (folder / "callbacks.images.json").write_text(json.dumps({**other, "images": [{"path": 1}]}))
    sidecar = next((folder / "weights").glob("*.json"))
    sidecar.write_text("[1, 2]")
    (folder / "confusion_matrix_normalized.png").write_bytes(b"no picture")
    before = {path.name for path in folder.iterdir()}
    page = Page(report(folder))
    assert page.charts["box loss"]["epochs"] == [1, 2, 3, 4]  # the last line of one of the two is incomplete
    assert not {"events", "cost", "configuration"} & set(page.sections)
    assert {path.name for path in folder.iterdir()} == before | {"report.html"}  # nothing is moved aside
    for name in ("callbacks.json", "args.yaml"):  # of the others each value of another type is left out alone
        assert len([line for line in messages if f"{name} cannot be read" in line]) == 1


def synthetic(folder: Path, *, epochs: int, classes: int) -> Path:
    """A long run of many classes, as its files describe it."""
    folder.mkdir()
    keys = [*(f"{split}/{name}_loss" for split in ("train", "val") for name in ("box", "cls", "dfl")), "lr/pg0"]
    keys += [f"metrics/{name}(B)" for name in ("precision", "recall", "mAP50", "mAP50-95")]
    lines = [",".join(["epoch", "time", *keys])]
    values = np.random.default_rng(0).random((epochs, len(keys)))
    lines += [",".join([str(i + 1), str(i), *(f"{value:.5f}" for value in row)]) for i, row in enumerate(values)]
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    with (folder / "callbacks.jsonl").open("w") as file:
        for i in range(epochs):
            by_class = {f"per_class/class {c}/mAP50-95": c / classes for c in range(classes)}
            file.write(json.dumps({**by_class, "epoch": i + 1}) + "\n")
    return folder


def test_the_largest_report_is_below_6_mb(tmp_path):
    folder = synthetic(tmp_path / "long", epochs=1100, classes=40)
    noise = np.random.default_rng(0).integers(0, 255, (1100, 1100, 3), dtype=np.uint8)
    names = [f"val_batch{i}_{kind}.jpg" for i in range(3) for kind in ("labels", "pred")]
    for name in (*names, "BoxPR_curve.png", "MaskPR_curve.png", "BoxF1_curve.png", "confusion_matrix_normalized.png"):
        cv2.imwrite(str(folder / name), noise)
    path = report(folder)
    assert 2_000_000 < path.stat().st_size < 6_000_000
    page = Page(path)
    assert {"images", "classes", "plots"} <= set(page.sections)
    assert len(page.charts["mAP50-95 by class, the best and the worst 4"]["lines"]) == 8


def test_one_epoch_and_values_that_are_not_finite(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    header = "epoch,  time,  train/box_loss,  val/box_loss,  metrics/mAP50-95(B)"
    (folder / "results.csv").write_text(f"{header}\n1,1,nan,inf,0.5\n")
    page = Page(report(folder))
    assert page.values("box loss", "validation") == ["∞"]
    assert "best 0.500 · epoch 1" in page.text


def test_rows_that_do_not_fit_the_header(tmp_path):
    """A metric came in epoch 2, one of the first is missing in epoch 4, a kill left the last line incomplete."""
    (tmp_path / "results.csv").write_text(
        "epoch,time,train/box_loss,metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss,lr/pg0\n"
        "1,1.5,3,0.1,0.2,4,0.01\n"
        "2,2.5,2.5,0.2,0.3,3.5,0.77,0.02\n"
        "3,3.5,no number,0.3,0.4,3,0.03\n"
        "4,4.5,1.5,0.4,2.5,0.04\n"
        "\n"
        "nan,1,1,1,1,1,1\n"
        "5,5.5,1.2"
    )
    run = read_run(tmp_path)
    assert run.epochs == [1, 2, 3, 4, 5]
    assert run.series == {
        "time": {1: 1.5, 2: 2.5, 3: 3.5, 4: 4.5, 5: 5.5},
        "train/box_loss": {1: 3, 2: 2.5, 4: 1.5},
        "metrics/mAP50(B)": {1: 0.1, 2: 0.2, 3: 0.3},
        "metrics/mAP50-95(B)": {1: 0.2, 2: 0.3, 3: 0.4},
        "val/box_loss": {1: 4, 2: 3.5, 3: 3},
        "lr/pg0": {1: 0.01, 2: 0.02, 3: 0.03},
    }
    assert Page(report(tmp_path)).charts["box loss"]["epochs"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileNotFoundError, "is not the folder of a training: it has no results.csv"),
        ("epoch,time\n", ValueError, "results.csv holds no epoch"),
        ("", ValueError, "results.csv holds no epoch"),
    ],
)
def test_what_is_no_run(content, error, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / "results.csv").write_text(content)
    with pytest.raises(error, match=message):
        report(tmp_path)
    assert main(["report", str(tmp_path)]) == 2
    assert re.fullmatch(rf".*{message}\n", capsys.readouterr().err)


def test_the_command(tmp_path, capsys):
    runs = [synthetic(tmp_path / name, epochs=3, classes=2) for name in ("one", "two")]
    assert main(["report", *map(str, runs), "-o", str(tmp_path / "both.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'both.html'}\n"
    assert "quality" in Page(tmp_path / "both.html").sections


def test_secrets_are_masked():
    given = {
        "api_key": "abc",
        "HF_TOKEN": "abc",
        "password": "abc",
        "nested": {"wandb-key": "abc", "list": [{"secret": "abc"}]},
        "data": "https://user:abc@host.example/set.yaml?token=abc",
        "key": None,
    }
    harmless = {"patience": 5, "keypoints": 17, "kpt_shape": [17, 3], "cos_lr": True, "tracker": "y.yaml"}
    shown = clean_arguments({**given, **harmless})
    assert "abc" not in json.dumps(shown)
    assert (shown["api_key"], shown["nested"]["wandb-key"], shown["key"]) == (MASK, MASK, None)
    assert shown["data"] == "https://host.example/set.yaml"
    assert {name: shown[name] for name in harmless} == harmless


@given(st.floats(-1e300, 1e300) | st.sampled_from([np.nan, np.inf]))
def test_a_number_is_short_and_right(value):
    text = number(value)
    assert len(text) <= 10
    if np.isfinite(value):
        assert float(text.replace(",", "")) == pytest.approx(value, rel=6e-3)


# In a browser ---------------------------------------------------------------------------------------------------------

OF_THE_BROWSER_ITSELF = re.compile(r"^https?://[^/]*\.(google|googleapis|gvt1)\.com/")
FAILING = "<img src='http://example.com/x.png'><script>missing()</script>"
# One start of the browser for all pages. The frames get keys and changes as a user makes them.
USE = """
<script>
const press = (target, key) => target.dispatchEvent(new KeyboardEvent("keydown", { key }));
const tip = (plot) => plot.querySelector(".tip").hidden ? "" : plot.querySelector(".tip").textContent;
addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, plot = page.querySelector(".plot"), slider = page.querySelector("#confidence");
    const seen = found[frame.title] = { sections: [...page.querySelectorAll("section")].map((section) => section.id) };
    seen.scripts = page.scripts.length;
    if (!plot) continue;
    seen.plots = page.querySelectorAll(".plot").length;
    seen.tips = page.querySelectorAll(".plot > .tip").length;
    seen.focusable = page.querySelectorAll(".plot[tabindex='0']").length;
    const after = (key) => { press(plot, key); return tip(plot); };
    seen.keys = ["Home", "ArrowRight", "End", "ArrowRight", "Escape"].map(after);
    const middle = plot.getBoundingClientRect(), options = { clientX: middle.right - 5, clientY: middle.top + 5 };
    plot.dispatchEvent(new PointerEvent("pointermove", options));
    seen.pointer = tip(plot);
    const top = (each) => Math.round(each.getBoundingClientRect().top);
    seen.tops = [...page.querySelectorAll("#quality .plot")].slice(0, 3).map(top);
    seen.wide = page.documentElement.scrollWidth - page.documentElement.clientWidth;
    const kind = page.querySelector("#failing-kind"), name = page.querySelector("#failing-class");
    if (kind) {
      const shown = () => [...page.querySelectorAll("#failing figure")].filter((each) => !each.hidden).length;
      const changed = new Event("change");
      const choose = (select, value) => { select.value = value; select.dispatchEvent(changed); return shown(); };
      seen.filtered = [shown(), choose(kind, "fp"), choose(kind, "suspect"), choose(name, "car"), choose(kind, "")];
      const flips = page.querySelector("#flips-slider"), names = () => page.querySelector("#flips-names").textContent;
      seen.flips = [names()];
      for (const value of ["1", "0"]) {
        flips.value = value;
        flips.dispatchEvent(new Event("input"));
        seen.flips.push(`${page.querySelector("#flips-epoch").textContent}: ${names()}`);
      }
      const controls = [...page.querySelectorAll("#failing select, #failing input")];
      seen.reached = controls.map((each) => { each.focus(); return page.activeElement === each; });
    }
    if (slider) {
      const visible = () => [...page.querySelectorAll(".prediction")].filter((box) => !box.style.visibility).length;
      seen.start = slider.value;
      seen.visible = [visible()];
      for (const value of ["0.05", "0.95"]) {
        slider.value = value;
        slider.dispatchEvent(new Event("input"));
        seen.visible.push(visible());
      }
    }
  }
  document.querySelector("#found").textContent = JSON.stringify(found);
});
</script>
"""


@pytest.fixture
def browse(tmp_path: Path) -> Callable[[dict[str, Path]], tuple[dict[str, Any], list[str], set[str]]]:
    """Use pages in one start of Chromium: what was found in each, the lines of the console, the requests."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")

    def browse(pages: dict[str, Path]) -> tuple[dict[str, Any], list[str], set[str]]:
        log, outer = tmp_path / "net.json", tmp_path / "outer.html"
        width = {"phone": 390}
        frames = "".join(
            f"<iframe title={name} src={path.as_uri()} width={width.get(name, 1600)} height=1200></iframe>"
            for name, path in pages.items()
        )
        outer.write_text(f"<!doctype html><pre id=found></pre>{frames}{USE}")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        options += [f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
        options += ["--allow-file-access-from-files", "--window-size=1700,1300", "--virtual-time-budget=1000"]
        options += ["--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom", outer.as_uri()]
        done = subprocess.run([chromium, *options], capture_output=True, text=True, check=True, timeout=120)
        asked = set(re.findall(r'"url":"(\w+://[^"]+)"', log.read_text()))
        requests = {url for url in asked if not url.startswith("file:") and not OF_THE_BROWSER_ITSELF.match(url)}
        found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, done.stdout[:500]
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return json.loads(unescape(found[1])), console, requests

    return browse


@pytest.mark.training
def test_in_a_browser(ours, theirs, browse, tmp_path):
    """The failing page shows that an error and a request would be seen."""
    failing = tmp_path / "failing.html"
    failing.write_text(FAILING)
    pages = {"ours": ours / "report.html", "both": report(ours, theirs, output=tmp_path / "both.html")}
    gallery = report(failing_run(tmp_path))
    found, console, requests = browse({**pages, "failing": failing, "gallery": gallery, "phone": gallery})
    assert len(console) == 1
    assert "missing is not defined" in console[0]
    assert requests == {"http://example.com/x.png"}
    assert tuple(found["ours"]["sections"]) == SECTIONS
    for name in pages:
        seen = found[name]
        assert seen["scripts"] == 1
        assert seen["plots"] == seen["tips"] == seen["focusable"] > 3
        first, second, last, beyond, escaped = seen["keys"]
        assert first.startswith("epoch 1")
        assert second.startswith("epoch 2")
        assert last == beyond == seen["pointer"] != ""
        assert escaped == ""
        assert len(set(seen["tops"])) == 1  # the charts of a row are aligned
        assert seen["wide"] == 0  # only tables scroll sideways
    for name in ("gallery", "phone"):  # b.png has only a suspect, of class bus; a.png a car too much and a van missed
        seen = found[name]
        assert seen["filtered"] == [2, 1, 1, 0, 1]
        assert seen["flips"] == ["a.png", "2: a.png", "1: none"]
        assert seen["reached"] == [True] * 3
        assert seen["wide"] == 0
    seen = found["ours"]
    stored = json.loads((ours / "callbacks.images.json").read_text())
    confidences = [box[5] for image in stored["images"] for box in image["predictions"]]
    assert seen["visible"][1:] == [len(confidences), sum(confidence >= 0.95 for confidence in confidences)]
    assert seen["visible"][0] == sum(confidence >= float(seen["start"]) for confidence in confidences)
