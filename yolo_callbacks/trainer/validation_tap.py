"""Collect what validation has matched, image by image: predictions, ground truth, and how similar they are.

Ultralytics computes the similarity of all predictions and objects of an image in each validation: the IoU of boxes, of
masks or of rotated boxes, or the OKS of keypoints. The tap reads it where Ultralytics matches, so nothing is computed
twice, and it works for every task that inherits from the detection validator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_callbacks.trainer.distributed import is_single_process
from yolo_callbacks.trainer.geometry import as_fractions, to_cpu, upright_edges
from yolo_callbacks.trainer.loader_order import ImageOrder
from yolo_callbacks.utils.files import LOGGER

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["COMPARED_TASKS", "ImageResult", "MatchTap"]

COMPARED_TASKS = ("detect", "segment", "pose", "obb", "classify")
"""The tasks whose validation compares objects, or whole images."""


@dataclass(frozen=True)
class ImageResult:
    """The predictions and labels of one validation image, and how similar they are.

    Attributes:
        path: The image file, relative to the folder of the data set where it is inside of that.
        size: Width and height of the image in that file; 0 for classification.
        labels: The class of each object.
        classes: The class of each prediction, the most confident first.
        confidences: The confidence of each prediction.
        similarity: The similarity of each object (rows) with each prediction (columns), from 0 to 1.
        box_similarity: The same of the boxes alone, where the task compares masks or keypoints.
        boxes: The box of each prediction as fractions of the image: left, top, right, bottom. Empty for classification.
        label_boxes: The box of each object, in the same way.
    """

    path: str
    size: tuple[int, int]
    labels: Array
    classes: Array
    confidences: Array
    similarity: Array
    box_similarity: Array
    boxes: Array
    label_boxes: Array


class MatchTap:
    """Pass each image of the validations of a training to a function, as Ultralytics matches it.

    Args:
        receive: Is called with each `ImageResult`. What it returns is kept, and gathered from all ranks.

    Attributes:
        found: What `receive` returned for each image of the last validation, by path; on rank 0 those of all ranks.
        root: The folder of the data set; `""` where it is not known.
    """

    def __init__(self, receive: Callable[[ImageResult], Any]) -> None:
        self._receive = receive
        self.found: dict[str, Any] = {}
        self.root = ""
        self._validator: Any = None
        self._originals: dict[str, Any] = {}
        self._similarities: list[Any] = []
        self._failed = False
        self._collect = True
        self._order = ImageOrder()

    def __getstate__(self) -> dict[str, Any]:
        # Ultralytics pickles and deep-copies callbacks: leave out what belongs to a run.
        kept = {"_receive": self._receive, "_failed": self._failed, "_collect": self._collect}
        return {**vars(MatchTap(self._receive)), **kept}

    def listen(self, validator: Any, *, collect: bool = True) -> None:
        """Start a new collection, in `on_val_start`.

        Args:
            validator: The validator.
            collect: Whether to collect from this validation. Defaults to `True`.
        """
        self.found, self._collect = {}, collect
        if self._failed or validator.args.task not in COMPARED_TASKS:
            return
        try:
            if self._validator is not validator:
                self.forget()
                self._install(validator)
            if validator.args.task == "classify":
                self._order.start_pass(validator.dataloader)
        except Exception as error:
            self._fail(error)

    def forget(self) -> None:
        """Restore the methods of the validator, and drop it."""
        if self._validator is not None:
            own = vars(self._validator)
            for name, (replacement, was_own, original) in self._originals.items():
                if own.get(name) is not replacement:
                    continue  # other code has wrapped it since: it passes everything on
                if was_own:
                    own[name] = original
                else:
                    del own[name]
        self.found, self._validator, self._originals, self._similarities = {}, None, {}, []
        self._order = ImageOrder()

    # Parts ------------------------------------------------------------------------------------------------------------

    def _install(self, validator: Any) -> None:
        self._validator, self.root = validator, _folder_of_data(validator)
        if validator.args.task == "classify":
            self._replace("update_metrics", self._classified)
        else:
            self._replace("match_predictions", self._matching)
            self._replace("_process_batch", self._processed)
        if hasattr(validator, "gather_stats") and not is_single_process():
            self._replace("gather_stats", self._gathered)

    def _replace(self, name: str, around: Callable[..., Any]) -> None:
        validator, was_own = self._validator, name in vars(self._validator)
        original = getattr(validator, name)

        def replacement(*arguments: Any, **keywords: Any) -> Any:
            return around(original, *arguments, **keywords)

        self._originals[name] = (replacement, was_own, original)
        setattr(validator, name, replacement)

    def _matching(self, original: Any, pred_classes: Any, true_classes: Any, iou: Any, *rest: Any, **named: Any) -> Any:
        # Called for boxes, then again for masks or keypoints: the last one is that of the task.
        self._similarities.append(iou)
        return original(pred_classes, true_classes, iou, *rest, **named)

    def _processed(self, original: Any, preds: Any, batch: Any, *rest: Any, **named: Any) -> Any:
        self._similarities = []
        result = original(preds, batch, *rest, **named)
        if self._collect and not self._failed:
            try:
                self._take(self._image(preds, batch))
            except Exception as error:
                self._fail(error)
        return result

    def _take(self, image: ImageResult) -> None:
        self.found[image.path] = self._receive(image)

    def _image(self, preds: Any, batch: Any) -> ImageResult:
        import numpy as np

        rows, objects = to_cpu(preds["conf"], preds["cls"], preds["bboxes"]), to_cpu(batch["cls"], batch["bboxes"])
        rows, shape = rows[order := np.argsort(-rows[:, 0], kind="stable")], (len(objects), len(rows))
        found = [_numbers(each).reshape(shape) for each in self._similarities[:1] + self._similarities[1:][-1:]]
        found, self._similarities = found or [np.zeros(shape)], []
        edges = np.concatenate([upright_edges(rows[:, 2:]), upright_edges(objects[:, 1:])])
        boxes = as_fractions(edges, batch["ratio_pad"], batch["ori_shape"])
        return ImageResult(
            path=self._relative(Path(batch["im_file"])),
            size=(int(batch["ori_shape"][1]), int(batch["ori_shape"][0])),
            labels=objects[:, 0].astype(int),
            classes=rows[:, 1].astype(int),
            confidences=rows[:, 0],
            similarity=found[-1][:, order],
            box_similarity=found[0][:, order],
            boxes=boxes[: len(rows)],
            label_boxes=boxes[len(rows) :],
        )

    def _classified(self, original: Any, preds: Any, batch: Any, *rest: Any, **named: Any) -> Any:
        if self._collect and not self._failed:
            try:
                self._classify(preds, batch)
            except Exception as error:
                self._fail(error)
        return original(preds, batch, *rest, **named)

    def _classify(self, preds: Any, batch: Any) -> None:
        import numpy as np

        nothing = np.zeros((0, 4))
        for path, label, predicted, confidence in self._order.results(preds, batch):
            values = np.array([label]), np.array([predicted]), np.array([confidence])
            image = ImageResult(
                self._relative(path), (0, 0), *values, np.ones((1, 1)), np.ones((1, 1)), nothing, nothing
            )
            self._take(image)

    def _relative(self, path: Path) -> str:
        try:
            return path.absolute().relative_to(self.root).as_posix() if self.root else path.as_posix()
        except ValueError:
            return path.as_posix()

    def _gathered(self, original: Any, *arguments: Any, **named: Any) -> Any:
        # Ultralytics calls this on every rank at once (from 8.3.218 on), so the ranks can exchange more in it.
        result = original(*arguments, **named)
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            main = distributed.get_rank() == 0
            parts: list[Any] | None = [None] * distributed.get_world_size() if main else None
            distributed.gather_object(self.found, parts, dst=0)
            for part in parts or ():
                self.found.update(part)
        return result

    def _fail(self, error: Exception) -> None:
        self._failed = True
        LOGGER.error("The images of the validation could not be compared, training goes on without", exc_info=error)


def _folder_of_data(validator: Any) -> str:
    data = getattr(validator, "data", None)
    root = data.get("path") if isinstance(data, dict) else None
    if not root:  # a classification: the root of its data set is the folder of the split
        split = getattr(validator.dataloader.dataset, "root", None)
        root = Path(str(split)).parent if split else None
    return str(Path(root).absolute()) if root else ""


def _numbers(values: Any) -> Array:
    # inference tensors, half precision with AMP on a GPU
    numbers: Array = values.detach().cpu().float().numpy()
    return numbers
