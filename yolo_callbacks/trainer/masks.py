"""Keep the masks of an image in little memory, and find their outlines outside the training thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yolo_callbacks.trainer.geometry import as_fractions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Masks", "Outline"]

Outline = tuple[tuple[tuple[float, float], ...], ...]
"""The closed lines around an object, and around its holes; each point is x and y as fractions of the image."""

_TOLERANCE = 0.7  # pixels of a mask by which its outline may be simpler than its edge
_OF_LENGTH = 0.02  # and the same for small ones, as a share of their outline
_FINER = 4


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks of the objects of an image, one bit a pixel.

    Attributes:
        bits: The masks, packed.
        shape: How many masks there are, and the height and width of each.
        frame: Height and width of the network's input, which each mask covers.
        ratio_pad: How Ultralytics has resized the image, as a batch names it.
        image: Height and width of the original image.
    """

    bits: npt.NDArray[np.uint8]
    shape: tuple[int, int, int]
    frame: tuple[int, int]
    ratio_pad: Any
    image: tuple[int, int]

    @classmethod
    def of(cls, masks: Any, frame: tuple[int, int], ratio_pad: Any, image: tuple[int, int]) -> Masks:
        """Return masks of a tensor on any device, with one copy to the CPU."""
        import numpy as np

        pixels = (masks > 0).to("cpu").numpy()
        return cls(np.packbits(pixels), pixels.shape, frame, ratio_pad, image)

    def outlines(self) -> list[Outline]:
        """Return the outline of each mask; an empty one where a mask is empty. This is slow for many masks."""
        import cv2
        import numpy as np

        count, height, width = self.shape
        pixels = np.unpackbits(self.bits, count=count * height * width).reshape(self.shape)
        scale = np.array([self.frame[1] / width, self.frame[0] / height]) / _FINER
        found: list[Outline] = []
        for mask in pixels:
            # OpenCV draws a line through the centres of pixels: in finer ones it is nearer to their edges
            fine = cv2.resize(mask, (_FINER * width, _FINER * height), interpolation=cv2.INTER_NEAREST)
            lines, _ = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            outline = []
            for line in lines:
                tolerance = min(_FINER * _TOLERANCE, _OF_LENGTH * cv2.arcLength(line, closed=True))
                simple = cv2.approxPolyDP(line, tolerance, closed=True).reshape(-1, 2)
                # + 0.5: from the number of a pixel to its centre
                points = as_fractions((simple + 0.5) * scale, self.ratio_pad, self.image)
                outline.append(tuple((round(x, 4), round(y, 4)) for x, y in points.tolist()))
            found.append(tuple(outline))
        return found
