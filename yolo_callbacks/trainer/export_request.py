"""Describe an export to the process that carries it out: the checkpoint, the arguments, and the validation images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from yolo_callbacks.utils.files import plain

__all__ = ["ExportRequest", "ValidationSet", "stored_validation_set", "untrained_model", "validation_set"]

_FURTHER = ("kpt_shape", "flip_idx", "channels")  # of a data set, beside its images and names


@dataclass(frozen=True)
class ValidationSet:
    """Validation images, on which an export is compared with its checkpoint.

    Attributes:
        images: The image files.
        labels: The class of each image, for a classification; empty for other tasks.
        names: The class names by index.
        further: What else the data set says, such as `kpt_shape` of poses.
        one_class: Whether every label counts as class 0, as with `single_cls=True`.
    """

    images: tuple[str, ...]
    labels: tuple[int, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    further: Mapping[str, Any] = field(default_factory=dict)
    one_class: bool = False

    def sample(self, count: int | None) -> ValidationSet:
        """Return `count` of the images, at equal distances: a classification has them sorted by class."""
        total = len(self.images)
        if count is None or total <= count:
            return self
        chosen = [number * total // count for number in range(count)]
        labels = tuple(self.labels[number] for number in chosen) if self.labels else ()
        return replace(self, images=tuple(self.images[number] for number in chosen), labels=labels)


@dataclass(frozen=True)
class ExportRequest:
    """An export and its comparison.

    Attributes:
        task: Ultralytics' name of the task.
        format: The format.
        arguments: The arguments of the export.
        checkpoint: The name of the checkpoint; `""` to export an untrained model, of `model`.
        model: The model to make where there is no checkpoint: its class and the content of its YAML.
        data: The validation images; without images it is compared on noise.
        threads: How many threads the process may use.
    """

    task: str
    format: str
    arguments: Mapping[str, Any]
    checkpoint: str = ""
    model: Mapping[str, Any] | None = None
    data: ValidationSet = ValidationSet(())
    threads: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the request in plain types."""
        content: dict[str, Any] = plain(asdict(self))
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ExportRequest:
        """Return the request of a JSON file."""
        data = dict(content["data"])
        names = {int(index): str(name) for index, name in data["names"].items()}
        images = ValidationSet(tuple(data["images"]), tuple(data["labels"]), names, data["further"], data["one_class"])
        return cls(**{**content, "data": images})


def validation_set(trainer: Any) -> ValidationSet:
    """Return the validation images of a training.

    Raises:
        ValueError: If its loader does not say which they are: it is the user's own.
    """
    dataset: Any = getattr(getattr(trainer, "test_loader", None), "dataset", None)
    data = getattr(trainer, "data", None) or {}
    names = {int(index): str(name) for index, name in dict(data.get("names") or {}).items()}
    further = {name: data[name] for name in _FURTHER if data.get(name) is not None}
    if trainer.args.task == "classify" and getattr(dataset, "samples", None):
        pairs = [(str(Path(sample[0]).absolute()), int(sample[1])) for sample in dataset.samples]
        return ValidationSet(tuple(image for image, _ in pairs), tuple(label for _, label in pairs), names, further)
    files = getattr(dataset, "im_files", None)
    if not files:
        raise ValueError("the loader of this training does not say which images it validates")
    one_class = bool(trainer.args.single_cls)
    return ValidationSet(tuple(str(Path(file).absolute()) for file in files), (), names, further, one_class)


def untrained_model(trainer: Any) -> dict[str, Any] | None:
    """Return the class and the YAML of the model of a training, from which another process makes an untrained copy.

    None where the model is not made from a YAML of Ultralytics, or its class belongs to the script that is run.
    """
    model = getattr(trainer, "model", None)
    model = getattr(model, "module", model)  # of DistributedDataParallel
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    content, kind = getattr(model, "yaml", None), type(model)
    if not isinstance(content, dict) or kind.__module__ == "__main__":
        return None
    try:
        described: dict[str, Any] = plain(content)
    except TypeError:
        return None
    names = {int(index): str(name) for index, name in dict(getattr(model, "names", None) or {}).items()}
    return {"module": kind.__module__, "class": kind.__qualname__, "yaml": described, "names": names}


def stored_validation_set(data: str, task: str, *, one_class: bool = False) -> ValidationSet:
    """Return the validation images of a data set, as the arguments of a finished run name it.

    Args:
        data: The argument `data=` of the run.
        task: Ultralytics' name of the task.
        one_class: Whether the run had `single_cls=True`. Defaults to `False`.

    Raises:
        ValueError: If it is not on this machine.
    """
    from ultralytics.data.utils import IMG_FORMATS, check_cls_dataset, check_det_dataset

    if task == "classify":
        if not Path(data).is_dir():  # Ultralytics would download it
            raise ValueError(f"the data set {data} of the run is not on this machine")
        found = check_cls_dataset(data)
        names = {int(index): str(name) for index, name in dict(found["names"]).items()}
        by_name = {name: index for index, name in names.items()}
        files = [path for path in sorted(Path(found["val"]).glob("*/*")) if _is_image(path, IMG_FORMATS)]
        labels = tuple(by_name[path.parent.name] for path in files)
        return ValidationSet(tuple(str(path.absolute()) for path in files), labels, names)
    try:
        found = check_det_dataset(data, autodownload=False)
    except Exception as error:  # of any kind, by version
        raise ValueError(f"the data set {data} of the run is not on this machine: {error}") from None
    files = []
    for place in found["val"] if isinstance(found["val"], list) else [found["val"]]:
        path = Path(place)
        if path.is_dir():
            files += [each for each in sorted(path.rglob("*")) if _is_image(each, IMG_FORMATS)]
        else:  # a list of files
            lines = path.read_text(encoding="utf-8").splitlines()
            files += [path.parent / line.strip() for line in lines if line.strip()]
    # what Ultralytics calls the only class
    names = {0: "item"} if one_class else {int(index): str(name) for index, name in dict(found["names"]).items()}
    further = {name: found[name] for name in _FURTHER if found.get(name) is not None}
    return ValidationSet(tuple(str(path.absolute()) for path in files), (), names, further, one_class)


def _is_image(path: Path, formats: Any) -> bool:
    return path.suffix[1:].lower() in formats
