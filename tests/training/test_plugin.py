"""YOLO_CALLBACKS: the unchanged `yolo` command, and every process that Ultralytics starts."""

from __future__ import annotations

import gc
import json
import re
import weakref
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import pytest
from environments import ROOT, Environment, arguments, wheel
from trainings import FAST, TINY
from ultralytics import YOLO
from ultralytics.engine import trainer as engine
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.callbacks.base import default_callbacks, get_default_callbacks

from yolo_callbacks import SaveBest, attach
from yolo_callbacks.config import plugin
from yolo_callbacks.trainer.installation import installed_version


@pytest.fixture
def tally(tmp_path: Path) -> Path:
    """`callbacks.yaml` in the test's folder writes a line for every training into this file."""
    (tmp_path / "callbacks.yaml").write_text("callbacks:\n  - Tally: {file: tally.txt}\n")
    return tmp_path / "tally.txt"


def lines(file: Path) -> list[str]:
    return [Path(line).name for line in file.read_text().splitlines()] if file.is_file() else []


# The yolo command ---------------------------------------------------------------------------------------------------


@pytest.mark.training
def test_the_yolo_command(installed, scenes, tmp_path):
    """Ours, one of another package, and the user's own, whose module imports Ultralytics, in one file."""
    (tmp_path / "mine.py").write_text(
        "from ultralytics import YOLO\nfrom yolo_callbacks import Callback\n\n"
        "class Mine(Callback):\n    def outcome(self):\n        return f'seen by {YOLO.__name__}'\n"
    )
    (tmp_path / "callbacks.yaml").write_text(
        "callbacks:\n  - SaveBest:\n      monitor: mAP50\n      top_k: ${TOP_K}\n"
        f"  - Tally:\n      file: {tmp_path}/tally.txt\n  - mine:Mine\n"
    )
    command = ("yolo", "train", *arguments(data=scenes, project=tmp_path, name="run"))
    done = installed.run(*command, cwd=tmp_path, callbacks="callbacks.yaml", TOP_K="2")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "tally.txt") == ["run"]
    summary = json.loads((tmp_path / "run" / "callbacks.json").read_text())["summary"]
    assert [row["name"] for row in summary["callbacks"]] == ["SaveBest", "Tally", "Mine"]
    assert summary["callbacks"][2]["outcome"] == "seen by YOLO"
    assert (tmp_path / "run" / "weights" / "best-mAP50-epoch001.pt").is_file()
    shown = installed.run("yolo-callbacks", "show", "run", cwd=tmp_path).stdout
    assert shown.strip() in done.stdout


@pytest.mark.slow
@pytest.mark.training
def test_without_the_variable_the_package_is_not_imported(installed, scenes, tmp_path):
    command = ("yolo", "train", *arguments(data=scenes, project=tmp_path, name="run"))
    done = installed.run(*command, cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert "ultralytics.utils.callbacks.base" in done.stderr
    assert "yolo_callbacks" not in done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"args.yaml", "results.csv", "weights"}


@pytest.mark.training
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("callbacks:\n  - EarlyStopping:\n      patiance: 3\n", ":3: EarlyStopping has no argument 'patiance', did"),
        # only the run knows: after Ultralytics has made its folder; so does the first file in FAULTY
        pytest.param(
            "callbacks:\n  - EarlyStopping:\n      monitor: mAP5O\n",
            ":3: EarlyStopping: monitor 'mAP5O' does not exist",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(text, said, installed, scenes, tmp_path):
    (tmp_path / "callbacks.yaml").write_text(text)
    command = ("yolo", "train", *arguments(data=scenes, project=tmp_path, name="run", plots=True))
    done = installed.run(*command, cwd=tmp_path, callbacks="callbacks.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith(f"callbacks.yaml{said}")
    assert done.stderr.count("\n") == 1
    assert "Callbacks:" not in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"callbacks.yaml"}


SECRET = "pass-one\nword"
FAULTY = {
    # a name, the command, the file, and what the line says
    "at run time": (
        "yolo train",
        "callbacks:\n  - SaveBest: {monitor: '${SECRET}', mode: max}\n",
        ":2: SaveBest: ValueError; its text is not shown, since it may hold the value of an argument that came from "
        "the environment: monitor (from ${SECRET})",
    ),
    "at load": (
        "yolo-callbacks train",
        "callbacks:\n  - SaveBest\n  - EarlyStopping:\n      patience: '${SECRET}'\n",
        ":4: EarlyStopping: patience must be int | None: TypeError; its text is not shown, since",
    ),
    "a module that exits": ("yolo train", "callbacks:\n  - exiting:Mine\n", ":2: exiting:Mine cannot be imported: Sys"),
    "no date": (
        "yolo predict",
        "callbacks:\n  - WandbLogger:\n      name: 2026-02-30\n",
        ":3: invalid YAML: '2026-02-30' is not a valid !!timestamp",
    ),
    "deep": ("yolo val", "callbacks: " + "[" * 3000, ":1: invalid YAML: nested more than 50 levels deep"),
}


@pytest.mark.training
@pytest.mark.parametrize("fault", [pytest.param(name, marks=pytest.mark.slow) for name in FAULTY])
def test_a_faulty_file_in_a_process(fault, installed, scenes, tmp_path):
    """One line, exit code 2, no traceback, no folder, no value of a variable."""
    command, text, said = FAULTY[fault]
    (tmp_path / "exiting.py").write_text("raise SystemExit(0)")
    (tmp_path / "c.yaml").write_text(text)
    before = set(tmp_path.iterdir())
    program, mode = command.split()
    given = arguments(data=scenes, project=tmp_path, name="run")
    if program == "yolo-callbacks":
        given.append("callbacks=c.yaml")
    done = installed.run(program, mode, *given, cwd=tmp_path, callbacks="c.yaml", SECRET=SECRET)
    assert done.returncode == 2
    assert done.stderr.startswith(f"c.yaml{said}")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stdout
    assert "pass-one" not in done.stdout + done.stderr
    assert set(tmp_path.iterdir()) - {tmp_path / "__pycache__"} == before


@pytest.mark.slow
@pytest.mark.training
def test_a_script_shows_no_value_of_a_variable(installed, scenes, tmp_path):
    """Its traceback, that is, with what stands behind the error."""
    (tmp_path / "c.yaml").write_text("callbacks:\n  - SaveBest: {monitor: '${SECRET}', mode: max}\n")
    script = tmp_path / "script.py"
    script.write_text(
        f"from ultralytics import YOLO\nfrom yolo_callbacks import attach\n"
        f"YOLO({TINY!r}).train(**{ {**FAST, 'data': str(scenes), 'project': str(tmp_path), 'name': 'run'}!r})\n"
    )
    done = installed.run("python", str(script), cwd=tmp_path, callbacks="c.yaml", SECRET=SECRET)
    assert done.returncode == 1
    assert "ConfigError: c.yaml:2: SaveBest: ValueError; its text is not shown" in done.stderr
    assert "pass-one" not in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()


# The processes that Ultralytics starts ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.skipif(
    installed_version() < (8, 4), reason="this version's own plot fails where no tuning has learnt anything"
)
def test_tune_reaches_both_trainings(installed, scenes, tmp_path, tally):
    installed.script(
        """
        from ultralytics import YOLO
        YOLO(TINY).tune(iterations=2, **arguments)
        """,
        cwd=tmp_path,
        callbacks="callbacks.yaml",
        data=scenes,
        project=tmp_path / "runs",
    )
    assert len(lines(tally)) == 2


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.skipif(not hasattr(engine, "MultiTrainer"), reason="this version takes no list of data sets")
def test_a_list_of_data_sets_reaches_both_trainings(installed, scenes, two_of_three, tmp_path, tally):
    data = f"data=['{scenes}','{two_of_three}']"
    command = ("yolo", "train", data, *arguments(project=tmp_path / "runs"))
    done = installed.run(*command, cwd=tmp_path, callbacks="callbacks.yaml")
    assert done.returncode == 0, done.stderr
    assert len(lines(tally)) == 2


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize(
    "run",
    [
        "import multiprocessing as m; m.get_context('spawn').Pool(1).map(train, jobs)",
        "import multiprocessing as m; m.get_context('forkserver').Pool(1).map(train, jobs)",
        "import joblib as j; j.Parallel(n_jobs=2)(j.delayed(train)(job) for job in jobs)",
    ],
    ids=["spawn", "forkserver", "joblib"],
)
def test_a_child_process_is_reached(run, installed, scenes, tmp_path, tally):
    """It makes one model, and gets another one from its parent."""
    if "joblib" in run:
        pytest.importorskip("joblib")
    installed.script(
        f"""
        from ultralytics import YOLO

        def train(job):
            model, name = job
            (model or YOLO(TINY)).train(**arguments, name=name)

        if __name__ == "__main__":
            jobs = [(None, "made"), (YOLO(TINY), "sent")]
            {run}
        """,
        cwd=tmp_path,
        callbacks="callbacks.yaml",
        data=scenes,
        project=tmp_path / "runs",
    )
    assert sorted(lines(tally)) == ["made", "sent"]


@pytest.mark.slow
@pytest.mark.training
def test_a_model_that_was_pickled_without_callbacks_is_reached(installed, scenes, tmp_path, tally):
    """As in a trial of `model.tune(use_ray=True)`: the process has never made a model, and resets the callbacks."""
    pickled = tmp_path / "model.pickle"
    pickled.write_bytes(cloudpickle.dumps(YOLO(TINY)))
    installed.script(
        f"""
        import cloudpickle
        model = cloudpickle.load(open({str(pickled)!r}, "rb"))
        model.trainer = None
        model.reset_callbacks()
        model.train(**arguments, name="trial")
        """,
        cwd=tmp_path,
        callbacks="callbacks.yaml",
        data=scenes,
        project=tmp_path / "runs",
    )
    assert lines(tally) == ["trial"]


@pytest.mark.slow
@pytest.mark.training
def test_the_worker_of_a_multi_gpu_training_runs_them_once(installed, scenes, tmp_path, tally):
    """Ultralytics' own worker script, as one process: with a trainer of its own before 8.4.140, pickled ones since."""
    printed = installed.script(
        """
        from ultralytics import YOLO
        from ultralytics.models.yolo.detect import DetectionTrainer
        from ultralytics.utils.dist import generate_ddp_file
        arguments["model"] = TINY
        trainer = DetectionTrainer(overrides=arguments, _callbacks=YOLO(TINY).callbacks)
        print("worker", generate_ddp_file(trainer))
        """,
        cwd=tmp_path,
        callbacks="callbacks.yaml",
        data=scenes,
        project=tmp_path,
        name="run",
    )
    worker = re.search(r"^worker (.+)$", printed, re.MULTILINE)[1]
    done = installed.run("python", worker, cwd=tmp_path, callbacks="callbacks.yaml")
    assert done.returncode == 0, done.stderr
    assert lines(tally) == ["run"]


@pytest.mark.training
def test_attach_warns_where_the_workers_get_no_callbacks(scenes, tmp_path, monkeypatch, messages):
    """Before 8.4.140. No event is called in the parent: two devices make it one, and its command does nothing."""
    model = YOLO(TINY)
    attach(model, SaveBest())
    overrides = {**FAST, "model": TINY, "data": str(scenes), "project": str(tmp_path)}
    monkeypatch.setattr(engine, "subprocess", SimpleNamespace(run=lambda *arguments, **options: None))
    for callbacks, warned in (("default", False), ("", True)):
        monkeypatch.setenv("YOLO_CALLBACKS", callbacks)
        messages.clear()
        trainer = model._smart_load("trainer")(overrides=overrides, _callbacks=model.callbacks)
        trainer.args.device, trainer.ddp, trainer.world_size = "0,1", True, 2
        trainer.train()
        lost = warned and installed_version() < (8, 4, 140)
        assert [bool(re.search("YOLO_CALLBACKS=callbacks.yaml .* reaches", text)) for text in messages] == [True] * lost


def warnings_of_tuning(messages: list[str]) -> list[str]:
    return [text for text in messages if re.search(r"model\.tune\(\) .* Set YOLO_CALLBACKS=callbacks\.yaml", text)]


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.skipif(
    installed_version() < (8, 4), reason="this version's own plot fails where no tuning has learnt anything"
)
def test_attach_warns_before_a_search_that_gets_no_callbacks(scenes, tmp_path, monkeypatch, messages):
    """Nothing of the suite is in the folder of the iteration."""
    monkeypatch.chdir(tmp_path)  # the tuner changes it
    monkeypatch.delenv("YOLO_CALLBACKS", raising=False)
    model = YOLO(TINY)
    attach(YOLO(TINY), SaveBest())
    attach(model, SaveBest())
    model.tune(iterations=1, **{**FAST, "data": str(scenes), "epochs": 1, "project": str(tmp_path / "runs")})
    assert len(warnings_of_tuning(messages)) == len(messages) == 1
    assert list(tmp_path.rglob("results.csv"))
    assert not list(tmp_path.rglob("callbacks.json"))


@pytest.mark.parametrize("use_ray", [False, True])
def test_attach_warns_of_each_search_where_it_is_needed(use_ray, monkeypatch, messages):
    """Both tuners do nothing here."""
    searches: list[dict[str, object]] = []
    monkeypatch.setattr("ultralytics.engine.tuner.Tuner.__call__", lambda self, **options: searches.append(options))
    monkeypatch.setattr("ultralytics.utils.tuner.run_ray_tune", lambda model, **options: searches.append(options))
    monkeypatch.setattr("ultralytics.engine.tuner.Tuner.__init__", lambda self, **options: None)
    model, without = YOLO(TINY), YOLO(TINY)
    attach(model, SaveBest())
    for callbacks, tuned, warned in (("", model, 1), ("", model, 2), ("", without, 2), ("default", model, 2)):
        monkeypatch.setenv("YOLO_CALLBACKS", callbacks)
        tuned.tune(use_ray=use_ray, iterations=3)
        assert len(warnings_of_tuning(messages)) == warned
    assert [options.get("iterations", options.get("max_samples")) for options in searches] == [3] * 4  # renamed in 8.4
    assert YOLO.tune.__doc__.strip().startswith("Conduct hyperparameter tuning")


# Once a training ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.training
def test_scripts(installed, scenes, tmp_path, tally):
    """Every training of a process once, an attached suite instead, no validation; a mistake is an exception."""
    installed.script(
        """
        import os
        from pathlib import Path
        from ultralytics import YOLO
        from yolo_callbacks import SaveBest, attach

        def train(model, name):
            if model.trainer is not None:  # 8.4.51 to 8.4.103 lose it with the first training
                model.overrides.setdefault("model", str(model.trainer.best))
            model.train(**arguments, name=name)

        model = YOLO(TINY)
        train(model, "first")
        model.val(data=arguments["data"], imgsz=32, project=arguments["project"])
        train(model, "second")
        model.reset_callbacks()
        train(model, "reset")

        suite = attach(model, SaveBest())
        train(model, "attached")
        assert suite.callbacks[0].best_epoch == 1

        def late(trainer):
            attach(trainer, SaveBest("mAP50"))

        model = YOLO(model.trainer.best)
        model.add_callback("on_pretrain_routine_start", late)
        train(model, "late")
        assert Path(arguments["project"], "late", "weights", "best-mAP50.pt").is_file()

        os.environ["YOLO_CALLBACKS"] = "SaveBst"
        try:
            YOLO(TINY)
        except ValueError as error:
            assert "did you mean 'SaveBest'" in str(error)
        else:
            raise AssertionError("a mistake went unnoticed")
        """,
        cwd=tmp_path,
        callbacks="callbacks.yaml",
        data=scenes,
        project=tmp_path / "runs",
    )
    assert lines(tally) == ["first", "second", "reset"]


@pytest.mark.training
def test_a_trainer_that_never_trains_is_freed_with_its_suite(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_CALLBACKS", "SaveBest")
    before = {event: list(functions) for event, functions in default_callbacks.items()}
    try:
        plugin.register(default_callbacks)
        overrides = {**FAST, "model": TINY, "data": str(scenes), "project": str(tmp_path), "name": "run", "epochs": 1}
        trainer = DetectionTrainer(overrides=overrides, _callbacks=get_default_callbacks())
    finally:
        default_callbacks.clear()
        default_callbacks.update(before)
    plugin.FUNCTIONS["on_pretrain_routine_start"](trainer)  # older versions of Ultralytics call it in `train()`
    suite = weakref.ref(vars(trainer)["_yolo_callbacks_plugin"][0])
    freed = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert freed() is suite() is None


# The installation ---------------------------------------------------------------------------------------------------


def imported(environment: Environment, folder: Path, **options: str) -> set[str]:
    """The modules of ours that an interpreter imports which does nothing, and what they import."""

    def names(**given: str) -> set[str]:
        done = environment.run("python", "-X", "importtime", "-c", "pass", cwd=folder, **given)
        assert done.returncode == 0
        return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()} - {"__future__"}

    without = names()
    assert "site" in without
    added = names(**options) - without
    return added | {name for name in without if "yolo_callbacks" in name}


def test_what_an_interpreter_that_does_nothing_imports(installed, tmp_path):
    assert imported(installed, tmp_path) == set()
    assert imported(installed, tmp_path, callbacks="default") == {"_yolo_callbacks_boot"}


@pytest.mark.parametrize(
    "kind", ["wheel", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("editable", "sdist"))]
)
def test_installed_and_removed(kind, tmp_path):
    environment = Environment.make(tmp_path / "venv")
    before = {path.relative_to(tmp_path) for path in environment.folder.rglob("*")}
    environment.install(wheel(ROOT, tmp_path, kind))
    assert imported(environment, tmp_path, callbacks="default") == {"_yolo_callbacks_boot"}
    assert imported(environment, tmp_path) == set()
    environment.pip("uninstall", "--yes", "yolo-callbacks")
    after = {path.relative_to(tmp_path) for path in environment.folder.rglob("*")}
    assert {path for path in after - before if "__pycache__" not in path.parts} == set()
    assert imported(environment, tmp_path, callbacks="default") == set()


def test_a_broken_installation_keeps_no_program_from_running(installed, tmp_path):
    """A virtual environment runs each .pth twice: the message is printed once, and by no child."""
    (tmp_path / "_yolo_callbacks_boot.py").write_text("raise RuntimeError('broken')")
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'pass'])"
    done = installed.run("python", "-c", code, cwd=tmp_path, callbacks="default", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert done.stderr == "yolo_callbacks: plug-in off: RuntimeError('broken')\n"
