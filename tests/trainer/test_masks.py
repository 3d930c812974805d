"""Masks: one bit a pixel in memory, and outlines that cover what the masks cover."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from yolo_callbacks.trainer.masks import Masks

FRAME, SHAPE = (256, 256), (200, 400)
LETTERBOX = ((0.64, 0.64), (0, 64))  # 400x200 pixels as 256x128, between margins of 64 above and below


def drawn(*shapes: str) -> torch.Tensor:
    masks = np.zeros((len(shapes), 64, 64), np.uint8)
    for mask, shape in zip(masks, shapes, strict=True):
        if shape == "disc":
            cv2.circle(mask, (30, 32), 12, 1, -1)
        elif shape == "ring":
            cv2.circle(mask, (30, 32), 13, 1, -1)
            cv2.circle(mask, (30, 32), 6, 0, -1)
        elif shape == "two":
            mask[20:30, 5:20] = mask[34:44, 40:60] = 1
        elif shape == "pixel":
            mask[30, 30] = 1
    return torch.from_numpy(masks)


def rastered(outline) -> np.ndarray:
    """The outline as a mask again, in the frame of the network's input: in pixels of a quarter of a mask's."""
    canvas = np.zeros((256, 256), np.uint8)
    lines = [np.array(line) * (256, 128) + (0, 64) - 0.5 for line in outline]
    if lines:
        cv2.fillPoly(canvas, [np.round(line).astype(np.int32) for line in lines], 1)
    return canvas


@pytest.mark.parametrize("shape", ["disc", "ring", "two", "pixel", "empty"])
@pytest.mark.parametrize("kind", [torch.uint8, torch.bool, torch.float16])
def test_an_outline_covers_its_mask(shape, kind):
    masks = drawn("disc", shape)
    found = Masks.of(masks.to(kind), FRAME, LETTERBOX, SHAPE)
    assert found.bits.nbytes == 2 * 64 * 64 / 8
    outline, mask = found.outlines()[1], masks[1].numpy().repeat(4, axis=0).repeat(4, axis=1)
    again = rastered(outline)
    both, either = (mask & again).sum(), (mask | again).sum()
    assert either == both or both / either > 0.9
    assert len(outline) == {"disc": 1, "ring": 2, "two": 2, "pixel": 1, "empty": 0}[shape]
    assert all(0 <= number <= 1 for line in outline for point in line for number in point)


def test_no_mask_at_all():
    assert Masks.of(torch.zeros(0, 64, 64), FRAME, LETTERBOX, SHAPE).outlines() == []
