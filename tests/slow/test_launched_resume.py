"""`yolo-callbacks train --auto-resume` in processes that torchrun has started: start, go on on each node, be over."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from launches import EPOCHS, free_port, logs, printed, run, seen, torchrun, training
from trainings import results_csv

from yolo_callbacks.trainer.installation import installed_version

pytestmark = [
    pytest.mark.training,
    pytest.mark.skipif(installed_version() < (8, 4, 190), reason="needs Ultralytics 8.4.190"),
]

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def has_namespaces() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*NAMESPACE, "true"], check=False).returncode == 0


def with_empty_disk(folder: Path) -> list[str]:
    """The beginning of a command for which a folder is on an empty disk of its own."""
    return [*NAMESPACE, "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(folder)]


def continued(folder: Path, scenes: Path, disk: Path, **witness: object) -> list[str]:
    return training(folder, scenes, "--auto-resume", f"project={disk}", **witness)[1:]


@pytest.mark.skipif(not has_namespaces(), reason="needs namespaces of Linux")
@pytest.mark.parametrize("nodes", [(2, 1), (2, 2)], ids=["one process a node", "two processes a node"])
def test_nodes_with_disks_of_their_own_go_on_from_the_folder_of_rank_0(tmp_path, scenes, nodes):
    disk = tmp_path / "disk"
    disk.mkdir()
    ranks = nodes[0] * nodes[1]
    prefixes = [[], with_empty_disk(disk)]
    command = continued(tmp_path, scenes, disk, dies=0)
    codes = run(tmp_path, [[*node, "-m", *command] for node in torchrun(*nodes)], prefixes=prefixes)
    assert codes == [-signal.SIGKILL, 1], logs(tmp_path)
    assert "there is nothing to continue" in printed(tmp_path)
    assert len(seen(tmp_path, ranks)[0]["weights"]) == 1
    command = continued(tmp_path, scenes, disk)
    codes = run(tmp_path, [[*node, "-m", *command] for node in torchrun(*nodes)], prefixes=prefixes)
    assert codes == [0, 0], logs(tmp_path)
    assert printed(tmp_path).count("goes on after epoch 1") == 1  # rank 0 has found it for all
    found = seen(tmp_path, ranks)
    assert [len(rank["weights"]) for rank in found] == [EPOCHS - 1] * ranks
    assert all(rank["weights"] == found[0]["weights"] for rank in found)
    assert [row["epoch"] for row in results_csv(disk / "run")] == [1, 2, 3]
    codes = run(tmp_path, [[*node, "-m", *command] for node in torchrun(*nodes)], prefixes=prefixes)
    assert codes == [0, 0], logs(tmp_path)
    assert printed(tmp_path).count("is over, there is nothing to train") == 1
    assert [path.name for path in disk.iterdir()] == ["run"]


def test_a_restart_by_the_launcher_goes_on_from_the_mirror(tmp_path, scenes):
    """The folder of the run is lost with the first machine; the launcher starts all processes again where one fails."""
    [node] = torchrun(1, 2)
    store = tmp_path / "store"
    lost = tmp_path / "lost"
    command = continued(tmp_path, scenes, lost, fails=1)
    callbacks = tmp_path / "callbacks.yaml"
    callbacks.write_text(callbacks.read_text() + f"\n  - Mirror: {{url: 'file://{store}'}}\n")
    assert run(tmp_path, [[*node, "--max-restarts", "1", "-m", *command]]) == [0], logs(tmp_path)
    assert printed(tmp_path).count("goes on after epoch 1") == 1
    assert [row["epoch"] for row in results_csv(lost / "run")] == [1, 2, 3]
    # elsewhere nothing but the store is left
    found = tmp_path / "found"
    command = [word.replace(str(lost), str(found)) for word in command]
    [node] = torchrun(1, 2)
    assert run(tmp_path, [[*node, "-m", *command]]) == [0], logs(tmp_path)
    assert printed(tmp_path).count("is over, there is nothing to train") == 1
    assert (found / "run" / "weights" / "best.pt").is_file()


def test_a_run_that_was_left_early_ends_with_its_own_exit_code_on_each_rank(tmp_path, scenes):
    """So that what has started the tasks starts them again."""
    command = continued(tmp_path, scenes, tmp_path)
    callbacks = tmp_path / "callbacks.yaml"
    callbacks.write_text(callbacks.read_text() + "\n  - Deadline: {until: '2020-01-01 00:00'}\n")
    port = str(free_port())
    tasks = [
        {**{name: str(rank) for name in ("RANK", "GROUP_RANK")}, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for rank in (0, 1)
    ]
    for epochs in ([1], [1, 2]):
        assert run(tmp_path, [["-m", *command]] * 2, tasks) == [75, 75], logs(tmp_path)
        assert [row["epoch"] for row in results_csv(tmp_path / "run")] == epochs
        assert "to continue: start the same command again" in printed(tmp_path)


def test_the_command_that_a_run_names_continues_it_under_the_launcher(tmp_path, scenes):
    command = training(tmp_path, scenes)
    callbacks = tmp_path / "callbacks.yaml"
    callbacks.write_text(callbacks.read_text() + "\n  - Deadline: {until: '2020-01-01 00:00'}\n")
    [node] = torchrun(1, 2)
    assert run(tmp_path, [[*node, *command]]) == [0], logs(tmp_path)
    [named] = re.findall(r"to continue: torchrun … (.*)$", printed(tmp_path), re.MULTILINE)
    assert f"callbacks={callbacks} resume=True model={tmp_path / 'run' / 'weights' / 'last.pt'}" in named
    assert run(tmp_path, [[*node, *shlex.split(named)]]) == [0], logs(tmp_path)
    assert [row["epoch"] for row in results_csv(tmp_path / "run")] == [1, 2]


def test_no_rank_waits_where_rank_0_cannot_find_out(tmp_path, scenes):
    command = continued(tmp_path, scenes, tmp_path)
    (tmp_path / "callbacks.yaml").write_text("callbacks:\n  - SaveBets\n")
    codes = run(tmp_path, [[*node, "-m", *command] for node in torchrun(2, 1)])
    assert 0 not in codes
    assert "no callback is called 'SaveBets'" in printed(tmp_path)
    assert "rank 0 could not find out how the run goes on" in printed(tmp_path)
