"""The store that the threads of several ranks share, and the time after which torch ends a wait."""

from __future__ import annotations

from datetime import timedelta

import pytest
import torch
from torch import distributed

from yolo_callbacks.decisions.rank_progress import default_timeout
from yolo_callbacks.trainer.rank_store import RankServer, RankStore, StoreLostError, group_timeout


def test_ranks_read_what_another_one_has_written(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    server = RankServer()
    assert server.address[0] == "127.0.0.1"
    first, second = RankStore(server.address), RankStore(server.address)
    assert second.get("place") is None  # it does not wait for it
    first.put("place", "épochs")
    assert second.get("place") == "épochs"
    first.put("place", "")
    assert second.get("place") == ""


def test_a_server_that_is_not_there_is_an_error_of_its_own(monkeypatch):
    monkeypatch.setattr("yolo_callbacks.trainer.rank_store._TIMEOUT", timedelta(seconds=1))
    with pytest.raises(StoreLostError):
        RankStore(("127.0.0.1", 9))


def test_the_timeout_of_the_group_is_read_from_torch():
    """A new version of torch that hides it costs half of the shortest default, and no error."""
    cpu = torch.device("cpu")
    assert group_timeout(cpu) is None
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1, timeout=timedelta(seconds=500))
    try:
        assert group_timeout(cpu) == 500
        assert default_timeout(group_timeout(cpu), several=True) == 250
        assert group_timeout(torch.device("meta")) is None
    finally:
        distributed.destroy_process_group()
