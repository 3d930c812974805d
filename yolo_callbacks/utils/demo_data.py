"""Find the data set that is installed with the package, and copy it."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["copy_trees", "trees"]


def trees() -> Path:
    """Return the path of the `data.yaml` of 106 aerial photographs of tree crowns with one class.

    The licence and the source of the photographs are in the same folder.

    Raises:
        FileNotFoundError: If the package was installed without the data set.

    Example:
        >>> from yolo_callbacks.utils.demo_data import trees
        >>> trees().name
        'data.yaml'
    """
    package = Path(__file__).parent.parent
    # A wheel has the data set inside the package; a checkout (editable install) has it beside the package.
    for folder in (package / "datasets", package.parent / "datasets"):
        if (folder / "trees" / "data.yaml").is_file():
            return folder / "trees" / "data.yaml"
    raise FileNotFoundError(
        f"the data set `trees` was found neither in {package} nor beside it: install yolo-callbacks again"
    )


def copy_trees(folder: Path) -> Path:
    """Copy the data set into a folder, and return the path of the `data.yaml` there.

    Only contents are copied: the copy can be changed also if the package is installed read-only. Caches that an earlier
    training has left beside the original are not copied.

    Raises:
        FileNotFoundError: If the package was installed without the data set.
        OSError: If the folder cannot be written.
    """
    source = trees().parent
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.suffix != ".cache":
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return folder / "data.yaml"
