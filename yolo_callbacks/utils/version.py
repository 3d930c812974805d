"""Name the version of this package and the versions that it runs with."""

from __future__ import annotations

import sys

__all__ = ["__version__", "versions"]

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Return the versions that a stored file depends on, by package name."""
    import torch
    import ultralytics

    others = {module.__name__: str(module.__version__) for module in (ultralytics, torch)}
    return {"python": sys.version.split()[0], "yolo_callbacks": __version__, **others}
