"""The place of a process among those of a launcher, from the environment."""

from __future__ import annotations

import pytest

from yolo_callbacks.utils.launcher import Launch, find_launch, slurm_variables

TORCHRUN = {
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node01",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_STEP_NODELIST": "node[07-08,11]",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}


def without(variables, name):
    return {each: value for each, value in variables.items() if each != name}


def test_the_variables_of_torchrun_name_the_place():
    assert find_launch(TORCHRUN) == Launch(rank=3, local_rank=1, world_size=4, local_world_size=2)


@pytest.mark.parametrize("variables", [{}, {"WORLD_SIZE": "4"}, {**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}])
def test_one_process_has_no_launch(variables):
    assert find_launch(variables) is None


@pytest.mark.parametrize("name", ["LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_a_variable_that_is_not_set_is_named(name):
    with pytest.raises(ValueError, match=rf"as by a launcher, but not {name}: start the training with torchrun"):
        find_launch(without(TORCHRUN, name))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RANK", "4", "RANK=4 of WORLD_SIZE=4"),
        ("LOCAL_RANK", "2", "LOCAL_RANK=2 of LOCAL_WORLD_SIZE=2"),
        ("WORLD_SIZE", "all", "WORLD_SIZE must be a number, got 'all'"),
    ],
)
def test_numbers_that_do_not_fit_are_named(name, value, said):
    with pytest.raises(ValueError, match=said):
        find_launch({**TORCHRUN, name: value})


def test_the_variables_of_srun_become_those_of_torchrun():
    assert slurm_variables(SRUN) == {
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "5",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "node07",
        "MASTER_PORT": "22979",
    }
    assert find_launch(slurm_variables(SRUN)) == Launch(rank=3, local_rank=1, world_size=5, local_world_size=2)
    last = {**SRUN, "SLURM_NODEID": "2", "SLURM_PROCID": "4", "SLURM_LOCALID": "0"}
    assert find_launch(slurm_variables(last)) == Launch(rank=4, local_rank=0, world_size=5, local_world_size=1)


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node[07-08,11]", "node07"),
        ("node3", "node3"),
        ("gpu-a,gpu-b", "gpu-a"),
        ("rack[1-2]-ib,login", "rack1-ib"),
        ("a[3,5],b[1-2]", "a3"),
        ("n1.cluster.org,n2.cluster.org", "n1.cluster.org"),
    ],
)
def test_the_master_is_the_first_host(hosts, first):
    assert slurm_variables({**SRUN, "SLURM_STEP_NODELIST": hosts})["MASTER_ADDR"] == first


def test_another_step_has_another_port_and_given_values_win():
    ports = {slurm_variables({**SRUN, "SLURM_STEP_ID": str(step)})["MASTER_PORT"] for step in range(5)}
    assert len(ports) == 5
    given = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1234"}
    assert slurm_variables({**SRUN, **given}).items() >= given.items()


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4"},  # a batch script
        {**SRUN, "SLURM_STEP_NUM_TASKS": "1"},
        {**SRUN, "RANK": "0"},  # torchrun, started by srun
    ],
)
def test_one_process_under_slurm_is_left_alone(variables):
    assert slurm_variables(variables) == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SLURM_STEP_TASKS_PER_NODE", "many", "SLURM_STEP_TASKS_PER_NODE cannot be read: 'many'"),
        ("SLURM_STEP_NODELIST", "[1-2]", "SLURM_STEP_NODELIST cannot be read"),
        ("SLURM_NODEID", "3", "SLURM_NODEID=3 is not in SLURM_STEP_TASKS_PER_NODE"),
    ],
)
def test_a_value_of_srun_that_cannot_be_read_is_named(name, value, said):
    with pytest.raises(ValueError, match=said):
        slurm_variables({**SRUN, name: value})


@pytest.mark.parametrize("name", sorted(set(SRUN) - {"SLURM_STEP_NUM_TASKS"}))
def test_a_variable_of_srun_that_is_not_set_is_named(name):
    with pytest.raises(ValueError, match=f"{name} is not set in this task of srun"):
        slurm_variables(without(SRUN, name))
