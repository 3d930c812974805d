"""Keep copies of runs in a store: any file system of fsspec.

In the folder of the store each run has a folder, named by its key:

    <key>/files/<checksum>-<name>      the files; one that two copies share is there once
    <key>/copies/<number>-<token>.json the manifest of a copy, written last: a copy without one does not count

Numbers grow over all runs, so the highest one is the newest copy. A copy that a kill has cut short has no manifest, or
half of one. A run removes its own copies only.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_callbacks.state.run_files import is_needed, needed_files
from yolo_callbacks.utils.fields import SCHEMA, Field, StateError, flag, mapping, read_fields, schema, text, whole
from yolo_callbacks.utils.files import LOGGER, parse_json, stamp
from yolo_callbacks.utils.locations import absolute_path, check_scheme
from yolo_callbacks.utils.redaction import MASK, clean_arguments, clean_text, clean_url
from yolo_callbacks.utils.version import versions

__all__ = ["Copy", "CopyChangedError", "MirrorStore", "new_key", "read_key"]

_KEPT = 2
_KEY = re.compile(r"run-[0-9a-f]{16}")
_MANIFEST = re.compile(r"(\d{6,9})-[0-9a-f]{8}\.json")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_FILE = {"checksum": Field(text), "size": Field(whole(maximum=2**50))}
_FIELDS = {
    "schema": Field(schema),
    "epoch": Field(whole(1)),
    "finished": Field(flag),
    "files": Field(mapping(lambda content: read_fields(content, _FILE))),
}


class CopyChangedError(Exception):
    """A file was written in place while it was copied to the store."""


@dataclass(frozen=True)
class Copy:
    """A complete copy of a run in a store.

    Attributes:
        key: The key of the run.
        name: The name of the manifest.
        epoch: The last epoch in it, counted from 1.
        finished: Whether the run had finished.
        files: The checksum and the size of each file, by its path in the folder of the run.
    """

    key: str
    name: str
    epoch: int
    finished: bool
    files: Mapping[str, Mapping[str, Any]]

    @property
    def number(self) -> int:
        """The number of the copy: the newest one has the highest."""
        return int(self.name.partition("-")[0])

    def stored_names(self) -> set[str]:
        """Return the names of the copy's files in the store."""
        return {_stored_name(path, file["checksum"]) for path, file in self.files.items()}


def new_key() -> str:
    """Return a key for a new run."""
    return f"run-{secrets.token_hex(8)}"


def read_key(value: Any) -> str:
    """Return a stored key.

    Raises:
        StateError: If it is none.
    """
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise StateError(f"expected the key of a run, found {value!r}")
    return value


class MirrorStore:
    """Write copies of runs to a store, and read them.

    Nothing is opened before the first use. Any method may raise what the file system raises.

    Args:
        url: The folder, as fsspec takes it: `s3://bucket/folder`, `file:///folder`, a path, which may begin with `~`.
        options: The arguments of the file system.

    Raises:
        ValueError: If fsspec knows no file system of that kind, or the URL has one slash after its scheme.
        ImportError: If its package is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = _checked(url)
        self._options = dict(options)
        self._opened: tuple[Any, str] | None = None

    @property
    def shown(self) -> str:
        """The URL without credentials; the path of a folder on this machine is absolute."""
        return clean_url(self._url)

    def described(self, error: BaseException) -> str:
        """Return the class and the text of an exception, without credentials."""
        shown = " ".join(clean_text(str(error).replace(self._url, self.shown)).split())
        for name, value in self._options.items():
            if isinstance(value, str) and clean_arguments({name: value})[name] != value:
                shown = shown.replace(value, MASK)
        return f"{type(error).__name__}: {shown}" if shown else type(error).__name__

    # Write ------------------------------------------------------------------------------------------------------------

    def write(
        self, folder: Path, *, key: str, epoch: int, finished: bool, check: Callable[[], None] = lambda: None
    ) -> Copy:
        """Copy the files of a run to the store; then remove the copies of the run that are older than the last two.

        Args:
            folder: The folder of the run, or a snapshot of it.
            key: The key of the run.
            epoch: The last epoch of the run.
            finished: Whether the run has finished.
            check: Called between the steps; its exception ends the copy.

        Raises:
            CopyChangedError: If a file has changed meanwhile.
        """
        system, root = self._open()
        system.makedirs(f"{root}/{key}/files", exist_ok=True)
        system.makedirs(f"{root}/{key}/copies", exist_ok=True)
        stamps: dict[Path, tuple[int, int]] = {}
        files: dict[str, dict[str, Any]] = {}
        for path in sorted(needed_files(folder), key=_is_state):
            check()
            stamps[path] = stamp(path)
            name = path.relative_to(folder).as_posix()
            files[name] = {"checksum": _checksum(path), "size": path.stat().st_size}
            self._put(path, f"{root}/{key}/files/{_stored_name(name, files[name]['checksum'])}")
        check()
        changed = [path.name for path, before in stamps.items() if stamp(path) != before]
        if changed:
            raise CopyChangedError(f"{', '.join(changed)} was written while it was copied")
        numbers = [int(found[1]) for _, name in self._manifests() if (found := _MANIFEST.fullmatch(name))]
        name = f"{max(numbers, default=0) + 1:06}-{secrets.token_hex(4)}.json"
        copy = Copy(key, name, epoch, finished, files)
        content = {"schema": SCHEMA, "epoch": epoch, "finished": finished, "files": files, "versions": versions()}
        system.pipe_file(f"{root}/{key}/copies/{name}", json.dumps(content).encode())
        self._remove_old(copy)
        return copy

    def _put(self, path: Path, target: str) -> None:
        """Copy a file to the store, unless it is there."""
        system, _ = self._open()
        size = path.stat().st_size
        if system.exists(target) and system.size(target) == size:  # a kill may have left half of it
            return
        system.put_file(str(path), target)

    def _remove_old(self, newest: Copy) -> None:
        """Keep the last two complete copies of a run. A failure costs nothing: the next copy tries again."""
        try:
            system, root = self._open()
            names = sorted((name for key, name in self._manifests() if key == newest.key), reverse=True)
            kept: list[Copy] = []
            for name in names:
                copy = self._read(newest.key, name) if len(kept) < _KEPT else None
                if copy is None:
                    system.rm_file(f"{root}/{newest.key}/copies/{name}")
                else:
                    kept.append(copy)
            used: set[str] = set().union(*(copy.stored_names() for copy in kept))
            for path in self._listed(f"{root}/{newest.key}/files"):
                if path.rpartition("/")[2] not in used:
                    system.rm_file(path)
        except Exception as error:  # a file system of fsspec may raise anything
            LOGGER.debug(f"old copies in {self.shown} were not removed: {self.described(error)}")

    # Read -------------------------------------------------------------------------------------------------------------

    def copies(self) -> Iterator[Copy]:
        """Iterate over the complete copies of all runs, the newest first."""
        for key, name in sorted(self._manifests(), key=lambda found: found[1], reverse=True):
            copy = self._read(key, name)
            if copy is not None:
                yield copy

    def download(self, copy: Copy, folder: Path) -> None:
        """Write the files of a copy to an empty folder.

        Raises:
            ValueError: If a file is not the one that was copied.
        """
        system, root = self._open()
        for name, file in copy.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(f"{root}/{copy.key}/files/{_stored_name(name, file['checksum'])}", str(target))
            if target.stat().st_size != file["size"] or _checksum(target) != file["checksum"]:
                raise ValueError(f"{name} in {self.shown} is damaged")

    def _manifests(self) -> list[tuple[str, str]]:
        """List the keys of the runs and the names of their manifests, complete or not."""
        system, root = self._open()
        system.invalidate_cache()  # another machine may have written
        found = []
        for path in self._listed(root):
            key, _, name = path.removeprefix(f"{root}/").partition("/copies/")
            if _KEY.fullmatch(key) and _MANIFEST.fullmatch(name):
                found.append((key, name))
        return found

    def _listed(self, folder: str) -> list[str]:
        system, _ = self._open()
        try:
            return list(system.find(folder))
        except FileNotFoundError:
            return []

    def _read(self, key: str, name: str) -> Copy | None:
        """Read a manifest; None where a kill has cut it short, or it is none."""
        system, root = self._open()
        try:
            content = system.cat_file(f"{root}/{key}/copies/{name}")
            fields = read_fields(parse_json(content.decode()), _FIELDS)
        except (FileNotFoundError, ValueError):  # removed meanwhile; StateError, and what is no UTF-8
            return None
        files = fields["files"]
        if not all(is_needed(path) and _CHECKSUM.fullmatch(file["checksum"]) for path, file in files.items()):
            return None
        return Copy(key, name, fields["epoch"], fields["finished"], files)

    def _open(self) -> tuple[Any, str]:
        """Return the file system and the folder in it."""
        if self._opened is None:
            from fsspec.core import url_to_fs

            system, root = url_to_fs(self._url, **self._options)
            self._opened = (system, root.rstrip("/"))
        return self._opened


def _checked(url: str) -> str:
    """Return a URL whose file system is known; the path of a folder on this machine becomes absolute."""
    from fsspec import available_protocols, get_filesystem_class
    from fsspec.core import split_protocol

    first, *others = url.split("::")  # `simplecache::s3://bucket`
    for part in (first, *others):
        check_scheme("url", part, frozenset(available_protocols()))
    protocol, path = split_protocol(first)
    get_filesystem_class(protocol or (first if others else "file"))
    if others:
        return url
    if protocol is None:
        return absolute_path("url", url)
    return f"{protocol}://{absolute_path('url', path)}" if protocol in ("file", "local") else url


def _is_state(path: Path) -> tuple[bool, str]:
    """Sort the state behind the checkpoints."""
    return path.suffix != ".pt", path.as_posix()


def _stored_name(path: str, checksum: str) -> str:
    return f"{checksum[:24]}-{path.rpartition('/')[2]}"


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
