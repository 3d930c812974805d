"""Read a `.wandb` file, which holds every row that wandb's process has written, and write one with more rows."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.utils.files import replace_atomic

__all__ = ["RowKey", "logged_rows", "records", "row_key", "write_completed"]

RowKey = tuple[str, int]
"""The key of a row: its kind, and the number of the epoch or batch."""

# A LevelDB log: a header, then blocks of chunks. Each payload is one record of the protobuf module of wandb 0.31.0.
_BLOCK = 32 * 1024
_FILE_HEADER = 7
_HEADER = b":W&B\xe1\xbe\x00"
_CHUNK_HEADER = 7  # checksum (4), length (2), kind (1)
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def row_key(row: Mapping[str, Any]) -> RowKey | None:
    """Return the key of a row; None for a row without one, which may be logged several times."""
    for key, kind in (("epoch", "epoch"), ("batch/step", "batch")):
        if key in row:
            return kind, int(row[key])
    return ("final", 0) if any(key.startswith("final/") for key in row) else None


def logged_rows(folder: Path) -> set[RowKey]:
    """Return the keys of the rows in the file of a run's folder."""
    found: set[RowKey] = set()
    for path in folder.glob("run-*.wandb"):
        for record in records(path.read_bytes()):
            if record.HasField("history"):
                key = row_key(_identifying(record.history))
                found |= {key} if key else set()
    return found


def records(data: bytes) -> Iterator[Any]:
    """Yield the records of a file as objects of wandb's protobuf module, up to the first one that is damaged."""
    from wandb.proto import wandb_internal_pb2

    for payload in _payloads(data):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(payload)
        yield record


def write_completed(
    path: Path,
    source: Path | None,
    rows: Iterable[Mapping[str, Any]],
    *,
    run: Mapping[str, str],
    metrics: Iterable[tuple[str, str, str | None]],
    exit_code: int,
) -> None:
    """Write a file of a run: the records of another file of the run, and the rows that it lacks.

    Args:
        path: The file to write; it may be `source`.
        source: The file that holds the run so far; None where there is none.
        rows: The rows that it lacks, of plain values.
        run: `run_id`, `project`, `entity`, `display_name` and `run_group`, for a `source` that does not hold them.
        metrics: Name, step metric and summary of each `define_metric`, for the same case.
        exit_code: Of the run.

    Raises:
        OSError: If the file cannot be read or written.
    """
    before = [] if source is None else list(records(source.read_bytes()))
    kept = [record for record in before if record.WhichOneof("record_type") not in (None, "exit")]
    if not any(record.HasField("run") for record in kept):
        kept = [*_start(run), *(_metric(*metric) for metric in metrics)]
    steps = [record.history.step.num for record in kept if record.HasField("history")]
    first = max(steps, default=-1) + 1
    new = [*_history(rows, first), _exit(exit_code)]
    payloads = [record.SerializeToString() for record in (*kept, *new)]
    replace_atomic(path, lambda temporary: temporary.write_bytes(_framed(payloads)))


def _identifying(history: Any) -> dict[str, Any]:
    """Return the values that `row_key` reads, and the keys whose values it does not read."""
    found: dict[str, Any] = {}
    for item in history.item:
        key = item.key or "/".join(item.nested_key)
        if key in ("epoch", "batch/step"):
            found[key] = json.loads(item.value_json) if item.value_json else getattr(item, item.WhichOneof("value"))
        elif key.startswith("final/"):
            found[key] = None
    return found


def _start(run: Mapping[str, str]) -> Iterator[Any]:
    from wandb import __version__
    from wandb.proto import wandb_internal_pb2

    header = wandb_internal_pb2.Record()
    header.header.version_info.producer = __version__
    header.header.version_info.min_consumer = "0.40.0"  # what wandb 0.31.0 writes
    yield header
    record = wandb_internal_pb2.Record()
    for name, value in run.items():
        if value:
            setattr(record.run, name, value)
    record.run.start_time.GetCurrentTime()
    yield record


def _metric(name: str, step_metric: str, summary: str | None) -> Any:
    from wandb.proto import wandb_internal_pb2

    record = wandb_internal_pb2.Record()
    setattr(record.metric, "glob_name" if "*" in name else "name", name)
    record.metric.step_metric = step_metric
    for each in (summary or "").split(","):
        if each:
            setattr(record.metric.summary, each, True)
    return record


def _history(rows: Iterable[Mapping[str, Any]], first: int) -> Iterator[Any]:
    """Yield the records of rows, and the record of the summary, which holds the last value of each key."""
    from wandb.proto import wandb_internal_pb2

    last: dict[str, Any] = {}
    for step, row in enumerate(rows, first):
        record = wandb_internal_pb2.Record()
        for key, value in {**row, "_step": step, "_timestamp": time.time()}.items():
            item = record.history.item.add()
            item.nested_key.append(key)
            item.value_json = json.dumps(value)
        record.history.step.num = step
        last |= row
        yield record
    if not last:
        return  # `wandb sync` of wandb 0.31.0 crashes at a record without content
    summary = wandb_internal_pb2.Record()
    for key, value in last.items():
        item = summary.summary.update.add()
        item.nested_key.append(key)
        item.value_json = json.dumps(value)
    yield summary


def _exit(code: int) -> Any:
    from wandb.proto import wandb_internal_pb2

    record = wandb_internal_pb2.Record()
    record.exit.SetInParent()
    record.exit.exit_code = code
    return record


def _framed(payloads: Iterable[bytes]) -> bytes:
    """Return the content of a file with these payloads."""
    file = bytearray(_HEADER)
    for payload in payloads:
        kinds = (_FULL, _FIRST)
        rest = payload
        while True:
            left = _BLOCK - len(file) % _BLOCK
            if left < _CHUNK_HEADER:
                file += bytes(left)
                continue
            chunk, rest = rest[: left - _CHUNK_HEADER], rest[left - _CHUNK_HEADER :]
            content = bytes([kinds[bool(rest)]]) + chunk
            file += zlib.crc32(content).to_bytes(4, "little") + len(chunk).to_bytes(2, "little") + content
            kinds = (_LAST, _MIDDLE)
            if not rest:
                break
    return bytes(file)


def _payloads(data: bytes) -> Iterator[bytes]:
    """Yield the payloads up to the first one that is incomplete or damaged: a kill may come while one is written."""
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
