"""Write an HTML report of one run, or of several runs side by side.

>>> from yolo_callbacks.report import report
>>> page = report("runs/detect/train")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["report"]


def report(
    run: str | os.PathLike[str], *others: str | os.PathLike[str], output: str | os.PathLike[str] | None = None
) -> Path:
    """Write the data in a run's folder to one HTML file, which needs no network and is smaller than 6 MB.

    Only `results.csv` is needed. These are used too if they exist: `callbacks.json`, `callbacks.jsonl`, the JSON files
    beside checkpoints, `args.yaml`, validation images with their boxes, and Ultralytics' plots. No checkpoint is
    loaded. Arguments whose names say secret are masked, and credentials in URLs are removed.

    Args:
        run: The folder of a training, with or without callbacks.
        *others: The folders of other trainings to compare with.
        output: The file to write. Defaults to `None`: `report.html` in the run's folder, or `comparison.html` in the
            folder that holds several runs; in the working directory if they are in several folders.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: If a folder has no `results.csv`.
        ValueError: If a `results.csv` contains no epoch.
        OSError: If the file cannot be written.
    """
    from yolo_callbacks.report.page import comparison_page, run_page
    from yolo_callbacks.report.reading import read_run
    from yolo_callbacks.utils.files import replace_atomic

    runs = [read_run(Path(folder)) for folder in (run, *others)]
    page = comparison_page(runs) if others else run_page(runs[0])
    path = Path(output) if output else _default_path([each.folder for each in runs])
    # The name of an image that is not UTF-8 contains characters that UTF-8 cannot encode.
    content = page.encode("utf-8", "replace")
    replace_atomic(path, lambda temporary: temporary.write_bytes(content))
    return path


def _default_path(folders: list[Path]) -> Path:
    if len(folders) == 1:
        return folders[0] / "report.html"
    parents = {folder.resolve().parent for folder in folders}
    return (parents.pop() if len(parents) == 1 else Path.cwd()) / "comparison.html"
