"""Say in words what an export has shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yolo_callbacks.decisions.export_proof import exceeded, show
from yolo_callbacks.utils.messages import one_line
from yolo_callbacks.utils.redaction import clean_arguments, clean_text

__all__ = ["FAILED", "PROVEN", "REFUSED", "UNPROVEN", "Finding"]

PROVEN, REFUSED, UNPROVEN, FAILED = "proven", "refused", "unproven", "failed"
_MOST = 300  # characters of a message of somebody else's
# The packages of these modules have other names, or are installed together.
_PACKAGES = {
    "onnx": "onnx onnxruntime onnxslim",
    "onnxruntime": "onnx onnxruntime onnxslim",
    "onnxslim": "onnx onnxruntime onnxslim",
    "nncf": "openvino nncf",
    "tensorflow": "tensorflow",
}


@dataclass(frozen=True)
class Finding:
    """What an export has shown.

    Attributes:
        verdict: `PROVEN`: it predicts the same as its checkpoint. `REFUSED`: it does not. `UNPROVEN`: it was exported,
            and could not be compared on this machine. `FAILED`: it was not exported.
        reason: Why it is not proven; what was measured where it is.
        result: What was measured.
    """

    verdict: str
    reason: str
    result: Mapping[str, Any]

    @classmethod
    def of(cls, result: Mapping[str, Any], tolerance: Mapping[str, float], *, untrained: bool = False) -> Finding:
        """Judge the result of an export.

        Args:
            result: The result.
            tolerance: The tolerances, as `exceeded` takes them.
            untrained: Whether it is that of an untrained model, of which only the outputs are compared.
        """
        if error := result.get("error"):
            reason = _error_text(str(error), str(result.get("missing") or ""))
            return cls(UNPROVEN if result.get("file") else FAILED, reason, result)
        if untrained and result.get("outputs") is None:
            return cls(PROVEN, "it exports and runs", result)
        if result.get("outputs") is None and result.get("boxes") is None:
            return cls(UNPROVEN, "nothing could be compared: the model predicts nothing on these images", result)
        faults = exceeded(result, tolerance)
        return cls(REFUSED, "; ".join(faults), result) if faults else cls(PROVEN, _measured(result), result)

    def entry(self, file: str | None, arguments: Mapping[str, Any], tolerance: Mapping[str, float]) -> dict[str, Any]:
        """Return what stands about the export in the JSON file beside the checkpoint.

        Args:
            file: The name of the export; None where there is none.
            arguments: The arguments of the export.
            tolerance: The tolerances.
        """
        measured = {name: self.result.get(name) for name in ("outputs", "boxes", "mAP", "bytes", "seconds", "versions")}
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "file": file,
            "arguments": clean_arguments(arguments),
            "tolerance": dict(tolerance),
            **{name: value for name, value in measured.items() if value is not None},
        }


def _error_text(error: str, missing: str) -> str:
    text = one_line(clean_text(error))
    text = text if len(text) <= _MOST else f"{text[:_MOST]}…"
    if not missing:
        return text
    return f"the package {missing} is not installed: pip install {_PACKAGES.get(missing, missing)}"


def _measured(result: Mapping[str, Any]) -> str:
    """Return what was compared, in words."""
    outputs, boxes, scores = result.get("outputs"), result.get("boxes"), result.get("mAP")
    parts = []
    if outputs is not None:
        parts.append(f"outputs differ by {show(outputs['max_rel'])}")
    if boxes is not None:
        counts = dict.fromkeys((boxes["checkpoint"], boxes["export"]))  # both, where they differ
        parts.append(f"{boxes['matched']:.1%} of {' and '.join(map(str, counts))} predictions are the same")
    if scores is not None and not scores["export"] and not scores["checkpoint"]:
        nothing = "neither is right on any image" if scores["metric"] == "top1" else "neither detects anything"
        parts.append(f"{scores['metric']} is 0 on both sides and proves nothing: {nothing}")
    elif scores is not None:
        parts.append(f"{scores['metric']} {show(scores['export'])}, of the checkpoint {show(scores['checkpoint'])}")
    return ", ".join(parts)
