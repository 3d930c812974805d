"""Compare an exported model with its checkpoint on validation images, with Ultralytics' own means to run both."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_callbacks.decisions.export_proof import (
    Agreement,
    OutputDifference,
    confidence_to_compare,
    iou_of_boxes,
)
from yolo_callbacks.trainer.export_request import ExportRequest

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["Comparison", "write_sample"]

_OUTPUT_IMAGES = 8  # on how many images the outputs are compared: an error in the weights shows in each
_LOWEST = 0.01  # the confidence below which no prediction is compared
_MASK_STEP = 4  # masks are compared in every fourth row and column
_METRICS = {
    "detect": "metrics/mAP50-95(B)",
    "obb": "metrics/mAP50-95(B)",
    "segment": "metrics/mAP50-95(M)",
    "pose": "metrics/mAP50-95(P)",
}


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for one image.

    Attributes:
        places: The boxes, as two corners; of `obb` as centre, size and angle.
        classes: The class of each.
        confidences: The confidence of each.
        masks: The masks, each as a row of bits, eight in a byte; None for other tasks.
        points: The keypoints, as x and y; None for other tasks.
    """

    places: Array
    classes: Array
    confidences: Array
    masks: Array | None = None
    points: Array | None = None


class Comparison:
    """Compare an export with its checkpoint.

    Args:
        checkpoint: The checkpoint.
        exported: The export.
        request: What was asked for.
    """

    def __init__(self, checkpoint: Path, exported: Path, request: ExportRequest) -> None:
        self._paths = checkpoint, exported
        self._request = request
        size = request.arguments["imgsz"]
        self._size = (size, size) if isinstance(size, int) else tuple(size[-2:] if len(size) > 1 else (*size, *size))
        self._batch = max(1, int(request.arguments.get("batch", 1)))
        # An export with NMS drops what has a lower confidence; its default is Ultralytics' own (8.3.200 to 8.4.190).
        self._own_confidence = float(request.arguments.get("conf") or 0.25) if request.arguments.get("nms") else None

    def figures(self, folder: Path) -> dict[str, Any]:
        """Return all figures; only those of the outputs without validation images, and for a task without objects."""
        found: dict[str, Any] = self._compare_outputs()
        if not self._request.data.images or self._request.task not in (*_METRICS, "classify"):
            return {**found, "boxes": None, "mAP": None}
        reference, other = (self._predictions(path) for path in self._paths)
        found["boxes"] = self._agreement(reference, other).figures()
        if self._request.task == "classify":
            found["mAP"] = self._accuracies(reference, other)
        else:
            found["mAP"] = self._means(write_sample(folder, self._request))
        return found

    # Outputs ----------------------------------------------------------------------------------------------------------

    def _compare_outputs(self) -> dict[str, Any]:
        """Compare what both models return for the same tensors, before anything is selected from it."""
        import torch
        from ultralytics.nn.autobackend import AutoBackend

        backend = AutoBackend(str(self._paths[1]), device=torch.device("cpu"))
        if self._request.arguments.get("nms") is not None or getattr(backend, "end2end", False):
            return {"outputs": None, "note": "the export selects its predictions itself: outputs are not compared"}
        model = _exporting_model(self._paths[0], self._request.task)
        if type(model.model[-1]).__name__ == "RTDETRDecoder":  # rounding decides in which order it selects
            return {"outputs": None, "note": "the model selects its predictions itself: outputs are not compared"}
        channels = int(model.yaml.get("channels", model.yaml.get("ch", 3)))
        difference, note = OutputDifference(), ""
        with torch.no_grad():
            for image in self._tensors(channels):
                batch = image.repeat(self._batch, 1, 1, 1)
                note = difference.add(_arrays(model(batch)), _arrays(backend(batch)))
                if note:
                    break
        figures = None if note else difference.figures()
        return {"outputs": figures, **({"note": note} if note else {})}

    def _tensors(self, channels: int) -> Iterator[Any]:
        """Yield images as the models take them: validation images, or noise where there are none."""
        import numpy as np
        import torch

        files = self._request.data.sample(_OUTPUT_IMAGES).images
        if not files:
            noise = np.random.default_rng(0).random((2, 1, channels, *self._size), dtype=np.float32)
            yield from map(torch.from_numpy, noise)
        for file in files:
            image = _letterboxed(_read(file, channels), self._size)
            yield torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))[None]).float() / 255

    # Predictions ------------------------------------------------------------------------------------------------------

    def _predictions(self, path: Path) -> list[Predictions]:
        """Return what a model predicts for each image."""
        from ultralytics import YOLO

        model = YOLO(str(path), task=self._request.task)
        channels = int(self._request.data.further.get("channels", 3))
        options = {"imgsz": self._request.arguments["imgsz"], "conf": _LOWEST, "device": "cpu", "rect": False}
        options |= {"verbose": False, "save": False, "project": str(path.parent), "name": "predict"}
        options |= {
            name: self._request.arguments[name] for name in ("iou", "max_det") if name in self._request.arguments
        }
        files, found = self._request.data.images, []
        for start in range(0, len(files), self._batch):
            batch = [_read(file, channels) for file in files[start : start + self._batch]]
            missing = self._batch - len(batch)
            batch += batch[:1] * missing  # a fixed batch size takes no smaller batch
            results = model.predict(batch, batch=self._batch, **options)
            found += [_read_result(result, self._request.task) for result in results[: self._batch - missing]]
        return found

    def _agreement(self, reference: Sequence[Predictions], other: Sequence[Predictions]) -> Agreement:
        import numpy as np

        whole = self._request.task == "classify"
        confidence = confidence_to_compare(float(each) for image in reference for each in image.confidences)
        agreement = Agreement(0.0 if whole else max(confidence, self._own_confidence or 0.0))
        for left, right in zip(reference, other, strict=True):
            if whole:  # the first is the predicted class: the score that the other model gives to it
                top = left.classes[:1]
                scores = left.confidences[:1], right.confidences[right.classes == top[0]][:1]
                agreement.add(np.ones((1, 1)), (top, right.classes[:1]), scores, whole=True)
            else:
                table = _similarity(left, right, self._request.task)
                agreement.add(table, (left.classes, right.classes), (left.confidences, right.confidences), whole=False)
        return agreement

    # Metrics ----------------------------------------------------------------------------------------------------------

    def _accuracies(self, *models: Sequence[Predictions]) -> dict[str, Any]:
        labels = self._request.data.labels
        right = [
            sum(int(image.classes[0]) == label for image, label in zip(images, labels, strict=True)) / len(labels)
            for images in models
        ]
        return {"metric": "top1", "checkpoint": right[0], "export": right[1], "images": len(labels)}

    def _means(self, data: Path) -> dict[str, Any]:
        """Validate both models in the same way: with images of one shape, which an export may need."""
        from ultralytics import YOLO

        key = _METRICS[self._request.task]
        options = {"imgsz": self._request.arguments["imgsz"], "batch": self._batch, "device": "cpu", "rect": False}
        options |= {"data": str(data), "workers": 0, "plots": False, "verbose": False, "save_json": False}
        options |= {"project": str(data.parent), "name": "val", "exist_ok": True}
        options["single_cls"] = self._request.data.one_class  # Ultralytics takes it from a checkpoint only (8.4.190)
        if self._own_confidence is not None:
            options["conf"] = self._own_confidence
        values = []
        for path in self._paths:
            metrics = YOLO(str(path), task=self._request.task).val(**options)
            values.append(float(metrics.results_dict[key]))
        name = key.removeprefix("metrics/").replace("(B)", "")
        return {
            "metric": name,
            "checkpoint": values[0],
            "export": values[1],
            "images": len(self._request.data.images),
        }


def _exporting_model(checkpoint: Path, task: str) -> Any:
    """Return the model of a checkpoint as an export runs it: its head returns one tensor, or a mask's two."""
    from ultralytics import YOLO

    model: Any = YOLO(str(checkpoint), task=task).model
    if hasattr(model, "end2end"):  # of an export with `end2end`, no outputs are compared
        with contextlib.suppress(AttributeError):
            model.end2end = False
    model = model.float().fuse(verbose=False).eval()
    for module in model.modules():
        if hasattr(type(module), "export"):
            module.export = True
    return model


def _arrays(outputs: Any) -> list[Array]:
    """Return the outputs of a model as arrays."""
    several = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [each.detach().float().cpu().numpy() for each in several]


def _read(file: str, channels: int) -> Array:
    """Return an image as Ultralytics reads it, with the channels that the model takes."""
    import cv2
    import numpy as np
    from ultralytics.utils.patches import imread

    image = imread(file, cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR if channels == 3 else -1)
    if image is None:
        raise OSError(f"{file} cannot be read as an image")
    image = image[..., None] if image.ndim == 2 else image
    return np.ascontiguousarray(image if image.shape[2] == channels else np.resize(image, (*image.shape[:2], channels)))


def _letterboxed(image: Array, size: Sequence[int]) -> Array:
    """Return an image in a frame of a size, as Ultralytics frames it."""
    import numpy as np
    from ultralytics.data.augment import LetterBox

    framed = np.asarray(LetterBox(tuple(size), auto=False)(image=image))
    return framed[..., None] if framed.ndim == 2 else framed


def _read_result(result: Any, task: str) -> Predictions:
    import numpy as np

    if task == "classify":
        scores = result.probs.data.float().cpu().numpy()
        order = np.argsort(-scores, kind="stable")
        return Predictions(np.zeros((len(order), 4)), order, scores[order])
    found = result.obb if task == "obb" else result.boxes
    places = (found.xywhr if task == "obb" else found.xyxy).float().cpu().numpy()
    classes, confidences = (each.float().cpu().numpy() for each in (found.cls, found.conf))
    masks = points = None
    if task == "segment" and result.masks is not None:
        chosen = result.masks.data[:, ::_MASK_STEP, ::_MASK_STEP] > 0.5
        masks = np.packbits(chosen.flatten(1).cpu().numpy(), axis=1)  # those of all images are in memory at once
    if task == "pose" and result.keypoints is not None:
        points = result.keypoints.xy.float().cpu().numpy()
    return Predictions(places, classes.astype(np.int64), confidences, masks, points)


def _similarity(left: Predictions, right: Predictions, task: str) -> Array:
    """Return how similar each prediction of `left` (rows) is to each of `right` (columns), from 0 to 1.

    It is the IoU of the boxes; where the task has masks or keypoints, the lower one of that and of their similarity.
    """
    import numpy as np

    if not len(left.places) or not len(right.places):
        return np.zeros((len(left.places), len(right.places)))
    if task == "obb":
        import torch
        from ultralytics.utils.metrics import batch_probiou

        return np.asarray(batch_probiou(torch.from_numpy(left.places), torch.from_numpy(right.places)))
    similar = iou_of_boxes(left.places, right.places)
    if left.masks is not None and right.masks is not None:
        ones, others = (np.unpackbits(each, axis=1).astype(np.float32) for each in (left.masks, right.masks))
        common = ones @ others.T
        union = ones.sum(1)[:, None] + others.sum(1)[None, :] - common
        # two masks without a point are equal
        similar = np.minimum(similar, np.where(union > 0, common / np.maximum(union, 1), 1.0))
    if left.points is not None and right.points is not None:
        sides = np.linalg.norm(left.places[:, 2:] - left.places[:, :2], axis=1)
        apart = np.linalg.norm(left.points[:, None] - right.points[None, :], axis=3).max(axis=2)
        similar = np.minimum(similar, 1 - apart / np.maximum(sides[:, None], 1e-6))
    return np.asarray(similar)


def write_sample(folder: Path, request: ExportRequest) -> Path:
    """Write the validation images and their labels as a data set of their own, and return its YAML.

    Ultralytics stores its cache of labels beside them: in the user's folder, the cache of a part of the images would
    replace that of all.
    """
    import yaml
    from ultralytics.data.utils import img2label_paths

    sample = folder / "sample"
    path = sample / "data.yaml"
    if path.is_file():
        return path
    data = request.data
    for kind in ("images", "labels"):
        (sample / kind).mkdir(parents=True, exist_ok=True)
    for number, (image, label) in enumerate(zip(data.images, img2label_paths(list(data.images)), strict=True)):
        name = f"{number:07d}"
        _place(Path(image), sample / "images" / f"{name}{Path(image).suffix}")
        if Path(label).is_file():
            shutil.copyfile(label, sample / "labels" / f"{name}.txt")
    content = {"path": str(sample), "train": "images", "val": "images", "names": dict(data.names), **data.further}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _place(source: Path, target: Path) -> None:
    source = source.resolve()  # on Linux `os.link` gives a second name to a symbolic link, whose target may be relative
    for give in (os.link, os.symlink, shutil.copyfile):
        with contextlib.suppress(OSError):
            give(source, target)
            return
    raise OSError(f"{source} cannot be read")
