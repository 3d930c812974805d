"""One self-contained page of a run, or of several side by side: for people without W&B, and for what is passed on.

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
    """Write what a run's folder tells to one HTML file that needs no network, and is below 6 MB.

    It needs `results.csv` alone, and adds what else it finds: `callbacks.json`, `callbacks.jsonl`, the JSON files
    beside checkpoints, `args.yaml`, validation images with their boxes, Ultralytics' plots. No checkpoint is loaded.
    Values whose names look like secrets are masked, and so are credentials in URLs.

    Args:
        run: The folder of a training, ours or not.
        *others: More of them, to compare with.
        output: The file to write. Defaults to `None`: `report.html` in the run's folder, for several runs
            `comparison.html` in the folder of the first.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If a folder has no `results.csv`.
        ValueError: If a `results.csv` holds no epoch.
        OSError: If the file cannot be written.
    """
    from yolo_callbacks.report.page import comparison_page, run_page
    from yolo_callbacks.report.run_data import read_run
    from yolo_callbacks.utils.files import replace_atomic

    runs = [read_run(Path(folder)) for folder in (run, *others)]
    page = comparison_page(runs) if others else run_page(runs[0])
    path = Path(output) if output else runs[0].folder / ("comparison.html" if others else "report.html")
    # the name of an image that is not UTF-8 holds characters that UTF-8 does not have
    content = page.encode("utf-8", "replace")
    replace_atomic(path, lambda temporary: temporary.write_bytes(content))
    return path
