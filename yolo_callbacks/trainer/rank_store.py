"""Give the ranks of a training a store of their own: threads use it while the main threads wait for each other.

It is a `TCPStore` of torch, apart from that of the process group. Rank 0 holds it, so that ranks need no common disk.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

__all__ = ["RankServer", "RankStore", "StoreLostError", "group_timeout"]

_TIMEOUT = timedelta(seconds=10)  # for the connection, and for an answer


class StoreLostError(Exception):
    """Rank 0 cannot be reached: it has left the training, or its process has ended."""


_kept: list[RankServer] = []  # that of the last training of this process, or none


class RankServer:
    """Hold the store, on rank 0.

    It is kept until the next training of this process opens one: another rank may look at it when rank 0 has left the
    training, and torch would print that it is gone.

    Attributes:
        address: The host and the port at which the other ranks reach it.

    Raises:
        OSError, RuntimeError: If no port can be opened.
    """

    def __init__(self) -> None:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        # A launcher sets the address at which the ranks reach rank 0, Ultralytics as well.
        host = os.environ.get("MASTER_ADDR") or socket.gethostname()
        self._store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=_TIMEOUT)
        self.address = (host, int(self._store.port))
        _kept[:] = [self]


class RankStore:
    """Read and write short texts of the store, from one thread.

    Args:
        address: The host and the port of the server.

    Raises:
        StoreLostError: If rank 0 cannot be reached.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        try:
            self._store: Any = TCPStore(*address, is_master=False, wait_for_workers=False, timeout=_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            raise StoreLostError(str(error)) from None

    def put(self, key: str, text: str) -> None:
        """Write a text.

        Raises:
            StoreLostError: If rank 0 cannot be reached.
        """
        try:
            self._store.set(key, text)
        except (RuntimeError, ValueError) as error:
            raise StoreLostError(str(error)) from None

    def get(self, key: str) -> str | None:
        """Return a text; None if there is none.

        Raises:
            StoreLostError: If rank 0 cannot be reached.
        """
        try:
            return self._store.get(key).decode() if self._store.check([key]) else None
        except (RuntimeError, ValueError) as error:
            raise StoreLostError(str(error)) from None


def group_timeout(device: Any) -> float | None:
    """Return after how many seconds torch ends a wait of the process group; None where that is unknown, or no group.

    Args:
        device: The `torch.device` of this process, on which the backend depends.
    """
    from torch import distributed

    if not distributed.is_initialized():
        return None
    try:  # torch has no public way to read it, up to 2.14 at least
        timeout: timedelta = distributed.group.WORLD._get_backend(device).options._timeout  # type: ignore[union-attr]
        return timeout.total_seconds()
    except Exception:
        return None
