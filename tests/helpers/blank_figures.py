"""Save every figure of matplotlib blank: to draw the plots of a training takes six seconds."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def save_blank(figure: Any, path: Any, *_: Any, **__: Any) -> None:
    """Take the place of `Figure.savefig`."""
    cv2.imwrite(str(path), np.full((8, 8, 3), 255, np.uint8))
