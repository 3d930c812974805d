"""`yolo-callbacks train` in processes that torchrun, or srun, has started on one node and on two."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
import torch
from launches import EPOCHS, free_port, logs, run, seen, torchrun, training
from trainings import results_csv

from yolo_callbacks.trainer.installation import installed_version

pytestmark = [
    pytest.mark.training,
    pytest.mark.skipif(installed_version() < (8, 4, 190), reason="needs Ultralytics 8.4.190"),
]


def check_training(folder: Path, ranks: int, name: str = "run") -> None:
    """All ranks have trained one model, each with its own images, and rank 0 has written one set of files."""
    found = seen(folder, ranks)
    assert [rank["shard"] for rank in found] == [[rank, ranks] for rank in range(ranks)]
    for value in ("rates", "weights", "averages"):
        assert len(found[0][value]) == EPOCHS
        assert all(rank[value] == found[0][value] for rank in found)
    assert len(set(found[0]["weights"])) == EPOCHS  # a loss that is multiplied by 0 changes only the decay
    losses = [row["train/cls_loss"] for row in results_csv(folder / name)]
    assert len(losses) == EPOCHS
    assert min(losses) > 0
    assert [rank["final_evaluations"] for rank in found] == [1] * ranks
    assert {rank["folder"] for rank in found} == {str(folder / name)}
    lines = [json.loads(line) for line in (folder / name / "callbacks.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [*range(1, EPOCHS + 1), None]
    summary = json.loads((folder / name / "callbacks.json").read_text())["summary"]
    assert (summary["status"], summary["epochs"]) == ("finished", EPOCHS)
    weights = sorted(path.name for path in (folder / name / "weights").iterdir())
    assert weights == ["best-mAP50.json", "best-mAP50.pt", "best.pt", "last.pt"]


@pytest.mark.sample
def test_tasks_of_srun_on_two_nodes_train_one_model(tmp_path, scenes):
    """The variables are those of `srun`; SLURM itself is not there."""
    (tmp_path / "run").mkdir()  # the name is taken: rank 0 chooses another one, for all
    tasks = [
        {
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_STEP_ID": "0",
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
            "SLURM_STEP_NODELIST": "localhost,127.0.0.1",
            "SLURM_NODEID": str(node),
            "SLURM_PROCID": str(node),
            "SLURM_LOCALID": "0",
            "MASTER_PORT": str(port),
        }
        for port in [free_port()]
        for node in (0, 1)
    ]
    assert run(tmp_path, [training(tmp_path, scenes)] * 2, tasks) == [0, 0], logs(tmp_path)
    check_training(tmp_path, 2, "run-2")


@pytest.mark.parametrize(("nodes", "processes"), [(1, 2), (2, 1), (2, 2)])
def test_processes_of_torchrun_train_one_model(tmp_path, scenes, nodes, processes):
    (tmp_path / "run").mkdir()
    command = training(tmp_path, scenes)[1:]  # torchrun starts a module with -m too
    commands = [[*node, "-m", *command] for node in torchrun(nodes, processes)]
    assert run(tmp_path, commands) == [0] * nodes, logs(tmp_path)
    check_training(tmp_path, nodes * processes, "run-2")


def test_nodes_with_disks_of_their_own_evaluate_the_same_model(tmp_path, scenes):
    command = training(tmp_path, scenes, own_disk=True)[1:]
    assert run(tmp_path, [[*node, "-m", *command] for node in torchrun(2, 1)]) == [0, 0], logs(tmp_path)
    check_training(tmp_path, 2)
    assert [path.name for path in (tmp_path / "disk1" / "weights").iterdir()] == ["best.pt"]
    assert (tmp_path / "disk1" / "weights" / "best.pt").read_text() == "of an old run"


@pytest.mark.parametrize("dies", [0, 1])
def test_no_node_waits_for_one_that_has_died(tmp_path, scenes, dies):
    command = training(tmp_path, scenes, dies=dies)[1:]
    codes = run(tmp_path, [[*node, "-m", *command] for node in torchrun(2, 1)])
    assert codes[dies] == -signal.SIGKILL
    assert codes[1 - dies] == 1, logs(tmp_path)
    assert len(seen(tmp_path, 2)[dies]["weights"]) == 1
    last = torch.load(tmp_path / "run" / "weights" / "last.pt", weights_only=False)
    assert last["epoch"] == 0
    assert last["optimizer"]

    # it is resumed, on one node
    resumed = [*training(tmp_path, scenes)[1:4], "resume=True", f"model={tmp_path / 'run' / 'weights' / 'last.pt'}"]
    assert run(tmp_path, [[*node, "-m", *resumed, "device=cpu"] for node in torchrun(1, 2)]) == [0], logs(tmp_path)
    assert [len(rank["weights"]) for rank in seen(tmp_path, 2)] == [EPOCHS - 1] * 2
    assert [row["epoch"] for row in results_csv(tmp_path / "run")] == [1, 2, 3]


@pytest.mark.parametrize("dies", [0, 1])
@pytest.mark.parametrize(
    ("phase", "epochs"), [("set-up", 0), ("validation", 1), ("end", 2), ("final evaluation", EPOCHS)]
)
def test_no_node_waits_for_one_that_has_died_in_another_phase(tmp_path, scenes, dies, phase, epochs):
    command = training(tmp_path, scenes, dies=dies, phase=phase)[1:]
    codes = run(tmp_path, [[*node, "-m", *command] for node in torchrun(2, 1)])
    assert codes[dies] == -signal.SIGKILL
    assert codes[1 - dies] == 1, logs(tmp_path)
    last = tmp_path / "run" / "weights" / "last.pt"
    assert last.exists() == bool(epochs)
    if epochs:
        assert torch.load(last, weights_only=False)["epoch"] == epochs - 1
        assert [row["epoch"] for row in results_csv(tmp_path / "run")][:epochs] == [*range(1, epochs + 1)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("batch=1", "batch=1 is the batch of all 2 processes together"),
        ("device=-1", "device=-1: under torchrun or srun name the GPUs"),
        ("device=0", r"the launcher has started 2 process\(es\) on this node, but device=0 names 1"),
    ],
)
def test_a_launch_that_does_not_fit_is_refused_in_words(tmp_path, scenes, wrong, said):
    [node] = torchrun(1, 2)
    assert run(tmp_path, [[*node, "-m", *training(tmp_path, scenes, wrong)[1:]]]) == [1]
    assert re.search(said, logs(tmp_path))
    assert not (tmp_path / "run").exists()
