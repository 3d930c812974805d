"""What of a run a kill left on disk: read from the run's own `.wandb` file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["logged_epochs", "records"]

# A LevelDB log: a header, then blocks of chunks; each payload is one record of the protobuf module that wandb ships.
_BLOCK = 32 * 1024
_FILE_HEADER = 7
_CHUNK_HEADER = 7  # checksum (4), length (2), kind (1)
_FULL, _FIRST, _LAST = 1, 2, 4


def logged_epochs(folder: Path) -> set[int]:
    """The epochs that have a row in the file of a run's folder."""
    found: set[int] = set()
    for path in folder.glob("run-*.wandb"):
        for record in records(path.read_bytes()):
            for item in record.history.item:
                if item.key == "epoch" or list(item.nested_key) == ["epoch"]:
                    found.add(int(json.loads(item.value_json)))
    return found


def records(data: bytes) -> Iterator[Any]:
    """The records of a file, as wandb's protobuf module has them, up to the first that is cut off or damaged."""
    from wandb.proto import wandb_internal_pb2

    for payload in _payloads(data):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(payload)
        yield record


def _payloads(data: bytes) -> Iterator[bytes]:
    """Up to the first that is cut off or damaged: a kill may have come in the middle of one."""
    position, parts = _FILE_HEADER, b""
    while position + _CHUNK_HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _CHUNK_HEADER:  # padding up to the next block
            position += left
            continue
        checksum = int.from_bytes(data[position : position + 4], "little")
        end = position + _CHUNK_HEADER + int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]
        if end > len(data) or zlib.crc32(data[position + 6 : end]) != checksum:
            return
        chunk = data[position + _CHUNK_HEADER : end]
        parts = chunk if kind in (_FULL, _FIRST) else parts + chunk
        if kind in (_FULL, _LAST):
            yield parts
        position = end
