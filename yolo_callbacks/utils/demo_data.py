"""Find the data set that is installed with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["trees"]


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
