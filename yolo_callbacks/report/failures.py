"""Read `failures.jsonl`, and show it: as text, and as tasks of Label Studio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.utils.lenient import as_count, as_list, as_mapping, as_number, as_text, epoch_of, json_lines

__all__ = ["confusions", "label_studio_tasks", "read_failures", "render"]


def read_failures(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file that are those of an epoch or of the final evaluation.

    Raises:
        OSError: If the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    lines = [as_mapping(line) for line in json_lines(path)]
    return [dict(line) for line in lines if epoch_of(line.get("epoch")) is not None or line.get("final") is True]


def render(line: Mapping[str, Any], top: int) -> Iterator[str]:
    """Yield the text of a line: the images that fail most, those that flipped, and the suspected labels."""
    images = as_mapping(line.get("images"))
    confidence = as_number(line.get("confidence"))
    wrong = sum(as_mapping(image).get("right") is False for image in images.values())
    when = f"epoch {line['epoch']}" if "epoch" in line else "the final evaluation"
    at = "" if confidence is None else f", at confidence {confidence:.3g}"
    yield f"{wrong} of {len(images)} images fail in {when}{at}"
    worst = _mappings(line, "worst", top)
    if worst:
        yield ""
        yield "   TP   FP   FN     F1  image"
        for image in worst:
            tp, fp, fn = (int(as_number(image.get(name)) or 0) for name in ("tp", "fp", "fn"))
            yield f"{tp:5}{fp:5}{fn:5}{as_number(image.get('f1')) or 0.0:7.3f}  {as_text(image.get('image'))}"
        yield from _left_out(line, "worst", max(wrong, len(as_list(line.get("worst")))), top)
    for key, title in (
        ("flips", "Right before, wrong now"),
        ("flips_since_best", "Right in the best epoch, wrong now"),
    ):
        names = [as_text(name) for name in as_list(line.get(key))]
        if names:
            yield ""
            yield f"{title}: {', '.join(names[:top])}{_more(names, top)}"
    pairs = confusions(line, top)
    if pairs:
        yield ""
        yield "Taken for another class:"
        yield from (f"  {pair}" for pair in pairs)
    suspects = _mappings(line, "suspects", top)
    if suspects:
        yield ""
        total = max(as_count(line.get("suspected")) or 0, len(as_list(line.get("suspects"))))
        yield f"{counted(total, 'label')} may be wrong, the most certain first:"
        for suspect in suspects:
            score = as_number(suspect.get("score")) or 0.0
            yield f"  {score:.2f}  {as_text(suspect.get('image'))}: {_described(suspect)}"
        yield from _left_out(line, "suspects", total, top)


def confusions(line: Mapping[str, Any], top: int) -> list[str]:
    """Return how often objects of one class are taken for another one, in words, the most frequent first."""
    return [
        f"{as_text(pair.get('label'))} taken for {as_text(pair.get('predicted'))}: {_times(pair.get('count'))}"
        for pair in _mappings(line, "confusions", top)
    ]


def _mappings(line: Mapping[str, Any], key: str, top: int) -> list[dict[Any, Any]]:
    """Return the first mappings in a list of a line."""
    return [as_mapping(item) for item in as_list(line.get(key))][:top]


def _left_out(line: Mapping[str, Any], key: str, total: int, top: int) -> Iterator[str]:
    """Yield how many are not shown, and how to show them; the line has the first ones only (`FailingImages(top=…)`)."""
    stored = len(as_list(line.get(key)))
    if total > top:
        advice = f"--top {stored} shows {stored}" if stored > top else "FailingImages(top=…) stores more"
        yield f"  and {total - top} more; {advice}"


def _described(suspect: Mapping[str, Any]) -> str:
    label = as_text(as_mapping(suspect.get("label")).get("class"))
    predicted = as_text(as_mapping(suspect.get("prediction")).get("class"))
    kind = as_text(suspect.get("kind"))
    if kind == "swapped":
        return f"labelled {label}, predicted {predicted}"
    return f"{label or predicted} {kind}"


def _times(count: Any) -> str:
    number = as_count(count) or 0
    return f"{number} time{'' if number == 1 else 's'}"


def _more(names: list[str], top: int) -> str:
    return f" and {len(names) - top} more" if len(names) > top else ""


def label_studio_tasks(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the images with suspected labels as tasks of Label Studio, the predictions as its pre-annotations.

    Label Studio is chosen because its boxes are percentages of the image, so no size has to be known, and because an
    import into it is one JSON file.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for suspect in map(as_mapping, as_list(line.get("suspects"))):
        path = as_text(suspect.get("image"))
        empty = {"data": {"image": path, "kinds": []}, "predictions": [{"score": 0.0, "result": []}]}
        task = tasks.setdefault(path, empty)
        prediction = as_mapping(suspect.get("prediction"))
        edges = [as_number(edge) for edge in as_list(prediction.get("box"))]
        task["data"]["kinds"].append(_described(suspect))
        made = task["predictions"][0]
        made["score"] = max(made["score"], as_number(suspect.get("score")) or 0.0)
        label = as_text(prediction.get("class"))
        if len(edges) == 4:
            left, top, right, bottom = (100 * (edge or 0.0) for edge in edges)
            value = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rectanglelabels": [label]}
            made["result"].append({"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value})
        else:
            made["result"].append(
                {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
            )
    return list(tasks.values())
