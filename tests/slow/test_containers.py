"""The recipes for Kubernetes and SageMaker, run as they stand without these two: processes are signalled and killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from container import SMALL, mounted, run_container, small_arguments
from killed_values import STOP
from left_by import left_by
from pages import ROOT, block_with, blocks
from trainings import TINY

from yolo_callbacks.config.loading import load

KUBERNETES, SAGEMAKER = "docs/clusters/kubernetes.md", "docs/clusters/sagemaker.md"
LEFT_EARLY = 75
ALSO = "  - JsonlLogger\n  - scripted_by_epoch:Scripted\n"
pytestmark = pytest.mark.training


def left_in(folder: Path) -> dict[str, Any]:
    """Read the files of a run, without what depends on the times that it was continued."""
    left = left_by(folder)
    for name in ("wandb", "outcomes"):
        del left[name]
    left["states"].pop("Mirror", None)
    return left


def small_file(text: str) -> str:
    """Return the callbacks of a page for a training of a few epochs, which the test holds and scripts."""
    assert "patience: 30" in text
    return text.replace("patience: 30", "patience: 3") + ALSO


class Job:
    """Start the pods of the Job of the page, one after the other.

    Args:
        folder: Its files, the store and the volumes that outlast a pod among them.
        data: The data set.
        volume: The volume of the page in place of `runs`; None for the one that it has.
    """

    def __init__(self, folder: Path, data: Path, volume: dict[str, Any] | None = None) -> None:
        self.folder, self.data, self.pods = folder, data, 0
        config, self.job = yaml.safe_load_all(block_with(KUBERNETES, "kind: Job", "yaml"))
        self.spec = self.job["spec"]["template"]["spec"]
        self.volumes = {each["name"]: each for each in self.spec["volumes"]}
        if volume is not None:
            self.volumes[volume["name"]] = volume
        assert self.volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
        store = f"file://{folder}/store"
        self.files = {
            name: small_file(text).replace("s3://bucket/first", store) for name, text in config["data"].items()
        }

    def start(self, **options: Any) -> tuple[str, Path, str]:
        """Start the next pod; return what the Job does with its exit code, its folder of runs, and what it said."""
        self.pods += 1
        pod, mounts = self.folder / f"pod-{self.pods}", {}
        (container,) = self.spec["containers"]
        for mount in container["volumeMounts"]:
            volume = self.volumes[mount["name"]]
            root = self.folder if "persistentVolumeClaim" in volume else pod
            mounts[mount["mountPath"]] = root / mount["name"]
            mounts[mount["mountPath"]].mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (mounts["/config"] / name).write_text(text)
        arguments = [mounted(each, mounts) for each in container["args"]]
        command = [*container["command"], *small_arguments(arguments, self.data)]
        code, said = run_container(command, pod, **options)
        return self.answer(code), mounts["/runs"], said

    def answer(self, code: int) -> str:
        """Return what the Job does with a pod that has ended with an exit code, as its policy says."""
        if code == 0:
            return "Complete"
        for rule in self.job["spec"]["podFailurePolicy"]["rules"]:
            if code in rule.get("onExitCodes", {}).get("values", ()):
                return str(rule["action"])
        return "Count"


def test_the_fields_of_the_job_fit_each_other():
    (config, job) = yaml.safe_load_all(block_with(KUBERNETES, "kind: Job", "yaml"))
    assert [each["apiVersion"] for each in (config, job)] == ["v1", "batch/v1"]
    spec = job["spec"]["template"]["spec"]
    assert spec["restartPolicy"] == "Never"  # which podFailurePolicy needs
    for rule in job["spec"]["podFailurePolicy"]["rules"]:
        assert set(rule) in ({"action", "onExitCodes"}, {"action", "onPodConditions"})
        values = rule.get("onExitCodes", {}).get("values", [])
        assert values == sorted(set(values))  # Kubernetes refuses others
    assert {each["name"] for each in spec["containers"][0]["volumeMounts"]} == {
        each["name"] for each in spec["volumes"]
    }
    (grace,) = [each["Preemption"]["grace"] for each in _callbacks(config) if "Preemption" in each]
    assert grace < spec["terminationGracePeriodSeconds"]


def _callbacks(config: dict[str, Any]) -> list[dict[str, Any]]:
    return list(yaml.safe_load(config["data"]["callbacks.yaml"])["callbacks"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, scenes):
    """What a Job leaves whose only pod nobody signals."""
    answer, runs, said = Job(tmp_path_factory.mktemp("whole"), scenes).start()
    assert answer == "Complete", said
    left = left_in(runs / "first")
    assert (left["epoch"], left["status"]) == (STOP, "finished")
    return left


@pytest.mark.parametrize("kept_in", ["a store", "a shared volume"])
def test_a_job_of_kubernetes_goes_on_in_the_next_pod(tmp_path, scenes, whole, kept_in):
    volume = None
    if kept_in == "a shared volume":
        (volume,) = yaml.safe_load(block_with(KUBERNETES, "persistentVolumeClaim", "yaml"))
    job = Job(tmp_path / "job", scenes, volume)
    if volume is not None:
        job.files = {name: text.replace("  - Mirror:", "  # Mirror:") for name, text in job.files.items()}
    answer, runs, said = job.start(hold_at=3, send="SIGTERM")
    assert answer == "Ignore", said
    assert "left early" in said
    assert not volume or left_by(runs / "first")["epoch"] == 3
    answer, _, said = job.start(hold_at=5, send="SIGKILL")
    assert answer == "Count", said
    assert "goes on after epoch 3" in said
    answer, runs, said = job.start()
    assert answer == "Complete", said
    assert left_in(runs / "first") == whole
    answer, runs, said = job.start()
    assert answer == "Complete"
    assert "is over, there is nothing to train" in said


def test_a_mistake_in_the_file_fails_the_job_of_kubernetes(tmp_path, scenes):
    job = Job(tmp_path / "job", scenes)
    job.files = {name: text.replace("patience: 3", "patiance: 3") for name, text in job.files.items()}
    answer, _, said = job.start()
    assert answer == "FailJob", said
    assert "did you mean 'patience'?" in said


def test_the_script_of_the_page_ends_with_the_code_of_the_job():
    assert f"raise SystemExit({LEFT_EARLY})" in block_with(KUBERNETES, "preemption.left_epoch", "python")


class SpotTraining:
    """Start the container of a SageMaker job again and again: `/opt/ml/checkpoints` alone stays.

    Args:
        folder: Its files.
        data: The data set.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data, self.starts = folder, data, 0
        self.given = json.loads(block_with(SAGEMAKER, "TrainingJobName", "json"))

    def start(self, command: Sequence[str], **options: Any) -> tuple[int, Path, str]:
        """Start the container; return its exit code, its folder of the model, and what it said."""
        self.starts += 1
        machine = self.folder / f"machine-{self.starts}"
        mounts = {
            self.given["CheckpointConfig"]["LocalPath"]: self.folder / "checkpoints",
            "/opt/ml/model": machine / "model",
            "/opt/ml/input/data/training": self.data.parent,
            "/app": machine / "app",
        }
        for each in mounts.values():
            each.mkdir(parents=True, exist_ok=True)
        callbacks = mounted(small_file(block_with(SAGEMAKER, "callbacks:\n", "yaml")), mounts)
        (mounts["/app"] / "callbacks.yaml").write_text(callbacks)
        script = small_script(mounted(block_with(SAGEMAKER, "SM_MODEL_DIR", "python"), mounts), self.data)
        (mounts["/app"] / "train.py").write_text(script)
        variables = {
            "SM_MODEL_DIR": str(mounts["/opt/ml/model"]),
            f"SM_CHANNEL_{self.given['InputDataConfig'][0]['ChannelName'].upper()}": str(self.data.parent),
        }
        command = [mounted(each, mounts) for each in command]
        code, said = run_container(command, machine / "work", environment=variables, **options)
        return code, mounts["/opt/ml/model"], said


def small_script(code: str, data: Path) -> str:
    """Return the script of the page for a training of a few epochs, with the callbacks that the test needs."""
    assert data.name == "data.yaml"
    code = code.replace("yolo11n.pt", TINY).replace("patience=30", "patience=3").replace("epochs=100", f"**{SMALL!r}")
    code = code.replace("YOLO(", "YOLO(task='detect', model=")
    code = code.replace("import EarlyStopping,", "import EarlyStopping, JsonlLogger,")
    return "from scripted_by_epoch import Scripted\n" + code.replace(
        "attach(model,", "attach(model, JsonlLogger(), Scripted(),"
    )


def command_of_the_container(job: dict[str, Any], data: Path) -> list[str]:
    """Return what SageMaker starts."""
    algorithm = job["AlgorithmSpecification"]
    return [*algorithm["ContainerEntrypoint"], *small_arguments(algorithm["ContainerArguments"], data)]


@pytest.mark.parametrize("way", ["own container", "script mode"])
def test_a_spot_training_of_sagemaker_goes_on(tmp_path, scenes, whole, way):
    training = SpotTraining(tmp_path / "spot", scenes)
    command = command_of_the_container(training.given, scenes)
    if way == "script mode":
        command = ["python", "/app/train.py"]
    code, model, said = training.start(command, hold_at=3, send="SIGTERM" if way == "own container" else "SIGKILL")
    assert code == (LEFT_EARLY if way == "own container" else 137), said
    shutil.rmtree(model)  # it stays on the machine that was taken away
    code, model, said = training.start(command, hold_at=5, send="SIGKILL")
    assert code == 137, said
    assert "goes on after epoch" in said
    shutil.rmtree(model)
    code, model, said = training.start(command)
    assert code == 0, said
    assert left_in(model / "first") == whole
    assert (model / "first" / "weights" / "best.pt").is_file()


def test_the_json_of_the_job_leaves_time_before_the_kill():
    job = json.loads(block_with(SAGEMAKER, "TrainingJobName", "json"))
    assert job["EnableManagedSpotTraining"] is True
    limits = job["StoppingCondition"]
    assert limits["MaxWaitTimeInSeconds"] >= limits["MaxRuntimeInSeconds"]
    text = block_with(SAGEMAKER, "callbacks:\n", "yaml")
    (grace,) = [each["Preemption"]["grace"] for each in yaml.safe_load(text)["callbacks"] if "Preemption" in each]
    assert grace < 120
    assert f"url: {job['CheckpointConfig']['LocalPath']}" in text


def test_each_file_of_callbacks_loads(tmp_path):
    (config, _) = yaml.safe_load_all(block_with(KUBERNETES, "kind: Job", "yaml"))
    for text in (
        config["data"]["callbacks.yaml"].replace("s3://", "memory://"),
        block_with(SAGEMAKER, "callbacks:\n", "yaml"),
    ):
        (tmp_path / "callbacks.yaml").write_text(text)
        assert {type(each).__name__ for each in load(str(tmp_path / "callbacks.yaml")).callbacks} >= {
            "Mirror",
            "Preemption",
        }


def test_no_block_of_the_pages_is_left_out():
    languages = {block.language for page in (KUBERNETES, SAGEMAKER) for block in blocks(ROOT / page, *ALL)}
    assert languages == set(ALL)


ALL = ("bash", "dockerfile", "json", "python", "yaml")
