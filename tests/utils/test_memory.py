"""The memory of the host: what is trimmed, limited and counted."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from yolo_callbacks.utils import memory
from yolo_callbacks.utils.memory import GIB

MIB = 2**20


@pytest.mark.skipif(not memory.trim_host(), reason="needs glibc")
def test_trimming_gives_freed_pages_back():
    blocks = [bytes(1000) for _ in range(200_000)]
    kept = blocks[::1000]  # each keeps the heap from shrinking by itself
    del blocks
    before = memory.host_in_use()
    memory.trim_host()
    assert before - memory.host_in_use() > 100 * MIB
    assert len(kept) == 200


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    machine = memory.host_available()
    for name, text in {"memory.max": f"{GIB}\n", "memory.current": f"{GIB}\n", "memory.stat": "anon 5\n"}.items():
        (tmp_path / name).write_text(text)
    assert memory.host_available() == (0, GIB)
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\n")
    assert memory.host_available() == (GIB // 4, GIB)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.host_available()[1] == machine[1]


def test_memory_of_worker_processes_is_counted():
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    before, found = memory.workers(), 0
    process.start()
    try:
        for _ in range(200):  # it starts with nothing
            found = memory.workers() - before
            if found > 5 * MIB:
                break
            time.sleep(0.05)
    finally:
        process.kill()
        process.join()
    assert found > 5 * MIB
