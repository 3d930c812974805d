"""Convert positions from the network's input to fractions of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

__all__ = ["as_fractions", "corners", "to_cpu", "upright_edges"]


def as_fractions(positions: Array, ratio_pad: Any, shape: Any) -> Array:
    """Return positions in pixels of the network's input as fractions of the original image, inside of it.

    `ops.scale_boxes` is not used: with `ratio_pad` it uses the gain of the height for both axes, up to 8.4.104 at
    least. That is wrong where the resize has rounded (by 5 % for 45x20 pixels in 32). It is right in 8.4.139.

    Args:
        positions: Pairs of x and y in each row: the edges of a box, corners, or keypoints.
        ratio_pad: How Ultralytics has resized the image, as a batch names it.
        shape: Height and width of the original image.
    """
    import numpy as np

    geometry = np.asarray(ratio_pad, dtype=np.float64)
    # (gains, padding) after a letterbox; RT-DETR stretches its images and has only the gains
    gains, padding = geometry if geometry.ndim == 2 else (geometry, np.zeros(2))
    seen = (gains * np.asarray(shape[:2], dtype=np.float64))[::-1]  # width and height inside the network's input
    fractions: Array = (positions.reshape(-1, 2) - padding) / seen
    return fractions.clip(0, 1).reshape(positions.shape)


def upright_edges(boxes: Array) -> Array:
    """Return the edges of boxes: of rotated ones, with centre, size and angle, those of the upright box around each."""
    import numpy as np

    if boxes.shape[1] != 5:
        return boxes[:, :4]
    centre, (width, height), angle = boxes[:, :2], boxes[:, 2:4].T, boxes[:, 4]
    cosine, sine = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    half = np.stack([width * cosine + height * sine, width * sine + height * cosine], axis=1) / 2
    edges: Array = np.concatenate([centre - half, centre + half], axis=1)
    return edges


def corners(boxes: Array) -> Array:
    """Return the four corners of rotated boxes, with centre, size and angle, as eight numbers each."""
    import numpy as np

    centre, (width, height), angle = boxes[:, :2], boxes[:, 2:4].T / 2, boxes[:, 4]
    along = np.stack([width * np.cos(angle), width * np.sin(angle)], axis=1)
    across = np.stack([-height * np.sin(angle), height * np.cos(angle)], axis=1)
    found: Array = np.concatenate(
        [centre - along - across, centre + along - across, centre + along + across, centre - along + across], axis=1
    )
    return found


def to_cpu(*columns: Any) -> Array:
    """Return tensors of one or more columns as one table, with one copy from the device."""
    import torch

    table = torch.cat([column if column.ndim == 2 else column[:, None] for column in columns], dim=1)
    # inference tensors, half precision with AMP on a GPU
    rows: Array = table.detach().cpu().double().numpy()
    return rows
