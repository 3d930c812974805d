"""The data set that comes with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["trees"]


def trees() -> Path:
    """The `data.yaml` of 106 aerial photographs of tree crowns, one class; licence and source stand beside it.

    Raises:
        FileNotFoundError: If the package was installed without it.

    Example:
        >>> from yolo_callbacks.utils.demo_data import trees
        >>> trees().name
        'data.yaml'
    """
    package = Path(__file__).parent.parent
    # the wheel carries it inside the package, a checkout (editable install) beside it
    for folder in (package / "datasets", package.parent / "datasets"):
        if (folder / "trees" / "data.yaml").is_file():
            return folder / "trees" / "data.yaml"
    raise FileNotFoundError(f"the data set `trees` is neither in {package} nor beside it: install yolo-callbacks again")
