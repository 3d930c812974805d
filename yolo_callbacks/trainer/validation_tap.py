"""Read what each validation compares, image by image, once for everything that listens.

Ultralytics' events get the validator, which does not store predictions. So the tap replaces the methods of the
validator in which it compares the predictions of an image with its labels. No image passes through a model for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from yolo_callbacks.trainer.distributed import is_single_process
from yolo_callbacks.trainer.loader_order import ImageOrder
from yolo_callbacks.trainer.method_patches import MethodPatches
from yolo_callbacks.trainer.validated_image import Classified, ClassifiedImage, ValidatedImage

__all__ = ["VALIDATED_TASKS", "Listener", "ValidationTap"]

VALIDATED_TASKS = ("detect", "segment", "pose", "obb", "classify")
"""The tasks whose validation compares objects, or classes of whole images."""

_ATTRIBUTE = "_yolo_callbacks_tap"


class Listener(Protocol):
    """What gets the images of a validation.

    Attributes:
        compares: Whether it reads how similar the objects are, and exchanges what it found between ranks.
    """

    compares: bool

    @property
    def listening(self) -> bool:
        """Whether it reads the images of this validation."""

    def receive(self, image: ValidatedImage | ClassifiedImage) -> None:
        """Read an image, while its tensors exist. Must not raise."""

    def gather(self) -> None:
        """Exchange what was found; every rank calls it at the same time."""

    def fail(self, error: Exception) -> None:
        """Log that the images cannot be read, and listen no more."""


class ValidationTap:
    """Pass each image of the validations of one validator to the listeners, as Ultralytics compares it.

    Args:
        validator: The validator.

    Attributes:
        validator: The validator.
    """

    def __init__(self, validator: Any) -> None:
        self.validator, self._root = validator, ""
        self._listeners: list[Listener] = []
        self._methods = MethodPatches(validator)
        self._replaced: set[str] = set()
        self._similarities: list[Any] = []
        self._order = ImageOrder()
        self._pass_begins = False

    @property
    def root(self) -> str:
        """The folder of the data set; `""` where it is not known, as before the first validation."""
        self._root = self._root or _folder_of_data(self.validator)
        return self._root

    @classmethod
    def of(cls, validator: Any) -> ValidationTap:
        """Return the tap of a validator; make it if there is none."""
        tap = vars(validator).get(_ATTRIBUTE)
        return tap if isinstance(tap, cls) else cls(validator)

    def listen(self, listener: Listener) -> None:
        """Pass the images of the next validation, and of those after it, to a listener; in `on_val_start`."""
        if self.validator.args.task == "classify":
            self._replace("update_metrics", self._classified)
            if not self._pass_begins:  # another listener has announced the same pass
                self._order.start_pass(self.validator.dataloader)
                self._pass_begins = True
        else:
            self._replace("_process_batch", self._processed)
            if listener.compares:
                self._replace("match_predictions", self._matching)
        if listener.compares and hasattr(self.validator, "gather_stats") and not is_single_process():
            self._replace("gather_stats", self._gathered)
        if not any(each is listener for each in self._listeners):
            self._listeners.append(listener)
        setattr(self.validator, _ATTRIBUTE, self)

    def remove(self, listener: Listener) -> None:
        """Pass no more images to a listener; after the last one, give the validator its own methods back."""
        self._listeners = [each for each in self._listeners if each is not listener]
        if not self._listeners:
            self._methods.undo()
            self._replaced.clear()
            vars(self.validator).pop(_ATTRIBUTE, None)

    # Parts ------------------------------------------------------------------------------------------------------------

    def _replace(self, name: str, around: Callable[..., Any]) -> None:
        if name in self._replaced:
            return
        original = getattr(self.validator, name)

        def replacement(*arguments: Any, **keywords: Any) -> Any:
            return around(original, arguments, keywords)

        self._methods.replace(name, replacement)
        self._replaced.add(name)

    def _matching(self, original: Any, arguments: Any, keywords: Any) -> Any:
        # Called for boxes, then again for masks or keypoints.
        self._similarities.append(arguments[2] if len(arguments) > 2 else keywords.get("iou"))
        return original(*arguments, **keywords)

    def _processed(self, original: Any, arguments: Any, keywords: Any) -> Any:
        self._similarities = []
        result = original(*arguments, **keywords)
        similarities, self._similarities = self._similarities, []
        self._pass(arguments, keywords, lambda preds, batch: [ValidatedImage(preds, batch, similarities)])
        return result

    def _classified(self, original: Any, arguments: Any, keywords: Any) -> Any:
        self._pass_begins = False
        self._pass(
            arguments,
            keywords,
            lambda preds, batch: [
                ClassifiedImage(path, Classified(label, predicted, confidence))
                for path, label, predicted, confidence in self._order.results(preds, batch)
            ],
        )
        return original(*arguments, **keywords)

    def _pass(self, arguments: Any, keywords: Any, read: Callable[[Any, Any], Sequence[Any]]) -> None:
        listeners = [listener for listener in self._listeners if listener.listening]
        if not listeners:
            return
        try:
            # A validator of the user may name its parameters as it likes.
            images = read(*arguments[:2], **{name: keywords[name] for name in ("preds", "batch") if name in keywords})
        except Exception as error:
            for listener in listeners:
                listener.fail(error)
            return
        for image in images:
            for listener in listeners:
                listener.receive(image)

    def _gathered(self, original: Any, arguments: Any, keywords: Any) -> Any:
        # Ultralytics calls this on every rank at once (from 8.3.218 on), so the ranks can exchange more in it.
        result = original(*arguments, **keywords)
        for listener in self._listeners:
            if listener.compares:
                listener.gather()
        return result


def _folder_of_data(validator: Any) -> str:
    data = getattr(validator, "data", None)
    root = data.get("path") if isinstance(data, dict) else None
    if not root:  # a classification: the root of its data set is the folder of the split
        split = getattr(getattr(validator.dataloader, "dataset", None), "root", None)
        root = Path(str(split)).parent if split else None
    return os.path.abspath(root) if root else ""  # noqa: PTH100 (it removes `..`, and follows no link)
