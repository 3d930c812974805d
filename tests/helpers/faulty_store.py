"""Provide a file system of fsspec on the local disk whose steps can fail, and a process that a step kills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem


class FaultyFileSystem(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A local file system that calls `at_step` with the name of each step: before, within and after each write."""

    protocol = "faulty"
    at_step: Callable[[str], None] = staticmethod(lambda name: None)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.removeprefix("faulty://") if isinstance(path, str) else path)

    def _step(self, name: str) -> None:
        type(self).at_step(name)

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        self._step("makedirs")
        super().makedirs(path, exist_ok=exist_ok)

    def exists(self, path: Any, **options: Any) -> bool:
        self._step("exists")
        return bool(super().exists(path, **options))

    def find(self, path: Any, *arguments: Any, **options: Any) -> Any:
        self._step("find")
        return super().find(path, *arguments, **options)

    def rm_file(self, path: Any) -> None:
        self._step(f"before removing {named(path)}")
        super().rm_file(path)
        self._step(f"after removing {named(path)}")

    def cat_file(self, path: Any, *arguments: Any, **options: Any) -> Any:
        self._step("cat_file")
        return super().cat_file(path, *arguments, **options)

    def get_file(self, source: Any, target: Any, *arguments: Any, **options: Any) -> None:
        self._step(f"get {named(source)}")
        super().get_file(source, target, *arguments, **options)

    def put_file(self, source: Any, target: Any, *arguments: Any, **options: Any) -> None:
        self._write(Path(source).read_bytes(), target)

    def pipe_file(self, path: Any, value: Any, *arguments: Any, **options: Any) -> None:
        self._write(bytes(value), path)

    def _write(self, content: bytes, target: Any) -> None:
        path = Path(self._strip_protocol(target))
        self._step(f"before {named(target)}")
        path.write_bytes(content[: len(content) // 2])
        self._step(f"half of {named(target)}")
        path.write_bytes(content)
        self._step(f"after {named(target)}")


def named(path: Any) -> str:
    """Return the name of a file in the store without its checksum; `manifest` for a manifest."""
    name = str(path).rpartition("/")[2]
    return "manifest" if "/copies/" in str(path) else name.partition("-")[2]


fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
