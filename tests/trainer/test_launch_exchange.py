"""What the processes of a launcher exchange before a training; real ones are in tests/slow/test_launched_resume.py."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed

from yolo_callbacks.trainer import launch_exchange
from yolo_callbacks.trainer.launch_exchange import LaunchExchange, opened_store
from yolo_callbacks.utils.launcher import Launch


@pytest.fixture
def together(monkeypatch):
    """Call a function in a thread of each of three ranks, each with its exchange."""
    for name in ("GROUP_RANK", "SLURM_NODEID", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    server = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def rendezvous(url, timeout):
        assert url == "env://"
        store = torch.distributed.TCPStore("127.0.0.1", server.port, timeout=timedelta(seconds=30))
        yield store, 0, 3

    monkeypatch.setattr(torch.distributed, "rendezvous", rendezvous)
    monkeypatch.setattr(launch_exchange, "_stores", [])

    def call(function):
        def of_rank(rank):
            exchange = LaunchExchange(Launch(rank, rank, 3, 3), timedelta(seconds=30))
            found = function(rank, exchange)
            exchange.close()
            return found

        with ThreadPoolExecutor(3) as threads:
            return list(threads.map(of_rank, range(3)))

    return call


def test_every_rank_gets_what_rank_0_gives(together):
    assert opened_store() is None
    given = {"over": False, "checkpoint": "/run/last.pt"}
    assert together(lambda rank, exchange: exchange.of_main(given if rank == 0 else None)) == [given] * 3
    assert opened_store() is not None  # the process group uses it


def test_what_was_given_before_a_restart_is_forgotten(together, monkeypatch):
    """The store of torchrun is still there then: a rank that is early would go on with it."""
    together(lambda rank, exchange: exchange.of_main({"checkpoint": None} if rank == 0 else None))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")

    def call(rank: int, exchange: LaunchExchange) -> object:
        if rank == 0:
            time.sleep(0.2)
        return exchange.of_main({"checkpoint": "last.pt"} if rank == 0 else None)

    assert together(call) == [{"checkpoint": "last.pt"}] * 3


@pytest.mark.parametrize("size", [0, 1000, 2500])
def test_a_node_without_the_file_gets_a_copy(together, tmp_path, monkeypatch, size):
    monkeypatch.setattr(launch_exchange, "_PIECE", 1000)
    content = bytes(number * 7 % 256 for number in range(size))
    disks = [tmp_path / str(rank) / "last.pt" for rank in range(3)]
    for disk in disks:
        disk.parent.mkdir()
    disks[0].write_bytes(content)
    disks[1].write_bytes(b"of an older epoch")
    found = together(lambda rank, exchange: exchange.share_file(disks[rank]))
    assert found[0] == disks[0]
    assert [path.read_bytes() for path in found] == [content] * 3
    assert disks[1].read_bytes() == b"of an older epoch"
    assert not disks[2].exists()
    assert {path.name for path in found} == {"last.pt"}


def test_a_node_with_the_file_uses_it(together, tmp_path):
    shared = tmp_path / "last.pt"
    shared.write_bytes(b"content")
    assert together(lambda rank, exchange: exchange.share_file(shared)) == [shared] * 3


def test_the_processes_of_a_node_share_the_copy_of_the_first_one(together, tmp_path, monkeypatch):
    monkeypatch.setenv("GROUP_RANK", "1")
    own = tmp_path / "last.pt"
    own.write_bytes(b"content")

    def share(rank: int, exchange: LaunchExchange) -> Path:
        return exchange.share_file(own if rank == 0 else tmp_path / "elsewhere" / "last.pt")

    assert together(share) == [own] * 3  # local ranks 0, 1 and 2 of one node
