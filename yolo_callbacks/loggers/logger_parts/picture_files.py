"""Keep smaller files of images while a run logs them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.image_files import encode_jpeg

__all__ = ["PictureFiles"]


class PictureFiles:
    """JPEG files of images, each encoded once. W&B stores files of the same content once too."""

    def __init__(self) -> None:
        self._files: dict[Path, Path] = {}
        self._folder: Path | None = None
        self._pid = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        # The folder belongs to this process; a copy of the object must not remove it.
        return {**vars(self), "_files": {}, "_folder": None}

    def of(self, image: Path, **encoding: Any) -> Path:
        """Return the smaller file of an image.

        Args:
            image: The image file.
            **encoding: Arguments of `encode_jpeg`, for the first call with this image.

        Raises:
            OSError: If the file is missing, or is no image.
        """
        if image not in self._files:
            content = encode_jpeg(image, **encoding)
            self._folder = self._folder or Path(tempfile.mkdtemp(prefix="yolo-callbacks-"))
            target = self._folder / f"{len(self._files)}.jpg"
            target.write_bytes(content)
            self._files[image] = target
        return self._files[image]

    def remove(self) -> None:
        """Remove the files."""
        self._files.clear()
        if self._folder and self._pid == os.getpid():  # a fork must not remove what its parent still logs
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
