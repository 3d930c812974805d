"""Image files of any kind, encoded as JPEG in a limited size."""

import cv2
import numpy as np
import pytest

from yolo_callbacks.trainer.image_files import encode_jpeg, shown_size


@pytest.mark.parametrize(
    ("shape", "dtype", "suffix", "sides"),
    [
        ((100, 400, 3), np.uint8, ".png", (25, 100, 3)),
        ((30, 20, 3), np.uint8, ".jpg", (30, 20, 3)),
        ((400, 100), np.uint16, ".png", (100, 25, 3)),
        ((200, 200, 4), np.uint8, ".png", (100, 100, 3)),
        ((200, 300, 3), np.uint16, ".tiff", (67, 100, 3)),
        ((2, 900, 3), np.uint8, ".bmp", (1, 100, 3)),
    ],
)
def test_a_jpeg_of_bounded_size(tmp_path, shape, dtype, suffix, sides):
    path = tmp_path / f"ä{suffix}"
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    cv2.imencode(suffix, values)[1].tofile(path)
    content = encode_jpeg(path, max_side=100)
    assert isinstance(content, bytes)
    assert content.startswith(b"\xff\xd8")
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == sides
    assert len(encode_jpeg(path, max_side=100, quality=20)) < len(content)


def test_a_jpeg_on_a_larger_canvas(tmp_path):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.full((200, 400, 3), 255, np.uint8))
    assert shown_size((400, 200), max_side=100) == (100, 50)
    image = cv2.imdecode(np.frombuffer(encode_jpeg(path, max_side=100, canvas=(100, 80)), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (80, 100, 3)
    assert image[:48].min() > 250
    assert abs(int(image[55:].mean()) - 114) <= 2


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_no_image(tmp_path, content):
    path = tmp_path / "image.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OSError, match=r"image\.png"):
        encode_jpeg(path)
