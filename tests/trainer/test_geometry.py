"""Positions in the network's input and in the image: rotated boxes, letterboxes, stretched images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolo_callbacks.trainer.geometry import as_fractions, corners, upright_edges


def test_upright_boxes_around_rotated_ones():
    boxes = np.array([[10, 20, 8, 2, 0], [10, 20, 8, 2, np.pi / 2], [0, 0, 2, 2, np.pi / 4]])
    side = 2**0.5
    expected = [[6, 19, 14, 21], [9, 16, 11, 24], [-side, -side, side, side]]
    assert np.allclose(upright_edges(boxes), expected)


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 4, 1.5, 2.9])
def test_corners_of_rotated_boxes_are_those_of_opencv(angle):
    found = corners(np.array([[10.0, 20.0, 8.0, 2.0, angle]])).reshape(4, 2)
    expected = cv2.boxPoints(((10.0, 20.0), (8.0, 2.0), float(np.degrees(angle))))
    assert np.allclose(sorted(map(tuple, found)), sorted(map(tuple, expected)), atol=1e-5)
    area = abs(sum(x * y2 - x2 * y for (x, y), (x2, y2) in zip(found, np.roll(found, -1, axis=0), strict=True))) / 2
    assert area == pytest.approx(16.0)  # one after the other around the box


def test_a_stretched_image_as_rt_detr_has_it():
    gains, shape = (80 / 20, 80 / 45), (20, 45)
    assert as_fractions(np.array([[40.0, 20, 80, 80]]), gains, shape).tolist() == [[0.5, 0.25, 1, 1]]


def test_any_pairs_keep_their_shape_and_stay_in_the_image():
    letterbox = ((0.5, 0.5), (4, 0))  # 24x16 pixels between margins of 4
    points = np.array([[[16.0, 8.0], [0.0, 99.0], [28.0, 16.0]]])
    found = as_fractions(points, letterbox, (32, 48))
    assert found.tolist() == [[[0.5, 0.5], [0.0, 1.0], [1.0, 1.0]]]
