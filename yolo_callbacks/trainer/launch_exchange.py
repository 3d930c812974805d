"""Let the processes of a launcher agree on a run before they join for the training."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from yolo_callbacks.utils.files import parse_json, to_json
from yolo_callbacks.utils.launcher import Launch

__all__ = ["LaunchExchange", "opened_store"]

_PIECE = 8 << 20  # bytes of a file that are in the store at once

_stores: list[Any] = []  # that of this process, or none
_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def opened_store() -> Any:
    """Return the store by which the processes of this launch have found each other; None where none was opened.

    The process group has to use it: a port can be opened once only, and a launcher counts who has joined.
    """
    return _stores[0] if _stores else None


class LaunchExchange:
    """Exchange values and a file between the processes of a launcher.

    Every process must make the same calls.

    Args:
        launch: The place of this process.
        timeout: How long a process waits for the others.
    """

    def __init__(self, launch: Launch, timeout: timedelta) -> None:
        from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]

        found, _, _ = next(rendezvous("env://", timeout=timeout))
        # torchrun of one node keeps its store over a restart of the processes, with what they have written (2.14). On
        # several nodes it opens another one, and their counts may differ.
        alone = launch.local_world_size == launch.world_size
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if alone else "0"
        store = PrefixStore(f"attempt {attempt}", found)
        _stores[:] = [store]
        self._launch = launch
        self._store: Any = PrefixStore("yolo-callbacks", store)

    def of_main(self, content: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return what rank 0 gives.

        Args:
            content: In plain JSON types, on rank 0; not used on the others.
        """
        if self._launch.rank == 0:
            self._store.set("content", to_json(content))
        received: dict[str, Any] = parse_json(self._store.get("content").decode())
        return received

    def share_file(self, path: Path) -> Path:
        """Return a file with the content that it has on rank 0: the same path, or on a node without it a copy.

        One process of each node gets the copy from rank 0. It is temporary.

        Args:
            path: The file on rank 0.
        """
        launch, store = self._launch, self._store
        if launch.rank == 0:
            store.set("digest", _digest(path))
        node = os.environ.get("GROUP_RANK") or os.environ.get("SLURM_NODEID")
        leads = launch.local_rank == 0 or node is None
        key = f"path of {f'rank {launch.rank}' if node is None else f'node {node}'}"
        missing = leads and not (path.is_file() and _digest(path) == store.get("digest").decode())
        store.set(f"{launch.rank} misses", str(int(missing)))
        if launch.rank == 0:
            self._serve(path)
        if missing:
            path = self._fetched(path.name)
        if leads:
            store.set(key, str(path))
        return Path(store.get(key).decode())

    def close(self) -> None:
        """Wait until no process needs rank 0 any more, which may hold the store."""
        self._store.set(f"{self._launch.rank} is done", "")
        if self._launch.rank == 0:
            for rank in range(self._launch.world_size):
                self._store.get(f"{rank} is done")

    def _serve(self, path: Path) -> None:
        """Give the content piece by piece, each to all that miss it."""
        ranks = [rank for rank in range(self._launch.world_size) if self._store.get(f"{rank} misses") == b"1"]
        if not ranks:
            return
        with path.open("rb") as file:
            number, piece = 0, b" "
            while piece:
                piece = file.read(_PIECE)
                self._store.set(f"piece {number}", piece)
                for rank in ranks:
                    self._store.get(f"{rank} has piece {number}")
                self._store.delete_key(f"piece {number}")
                number += 1

    def _fetched(self, name: str) -> Path:
        folder = tempfile.TemporaryDirectory(prefix="yolo-callbacks-")
        _folders.append(folder)
        copy = Path(folder.name) / name
        with copy.open("wb") as file:
            number, piece = 0, b" "
            while piece:
                piece = self._store.get(f"piece {number}")
                self._store.set(f"{self._launch.rank} has piece {number}", "")
                file.write(piece)
                number += 1
        return copy


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
