"""Export a checkpoint in a process of its own, and measure how far the export differs from the checkpoint.

`python -m yolo_callbacks.trainer.export_process FOLDER` reads FOLDER/request.json and writes FOLDER/result.json. The
folder holds the checkpoint, and gets the export and everything else that Ultralytics writes. The process ends as soon
as its standard input is closed: the training that started it has ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.export_request import ExportRequest
from yolo_callbacks.utils.files import parse_json, write_json

__all__ = ["REQUEST", "RESULT", "main"]

REQUEST, RESULT = "request.json", "result.json"
_NICE = 10
_REMOVALS = 10  # the exporter may write into the folder while it is removed
_UNTRAINED = "untrained.pt"


def main(folder: Path) -> None:
    """Carry out the request in a folder."""
    ending = _end_with_parent(folder)
    try:
        request = ExportRequest.from_json(parse_json((folder / REQUEST).read_text(encoding="utf-8")))
        _take_little(request.threads)
        started = time.monotonic()
        result: dict[str, Any] = {"stage": "start"}
        try:
            _export(folder, request, result)
        except Exception as error:  # an exporter may raise anything
            result |= {"error": _described(error), "missing": _missing_module(error)}
        write_json(folder / RESULT, {**result, "seconds": time.monotonic() - started})
    finally:
        ending.acquire()  # never returns while the folder is removed: the end of this thread would end the removal


def _export(folder: Path, request: ExportRequest, result: dict[str, Any]) -> None:
    """Export, and compare; add to `result` what is reached."""
    from yolo_callbacks.trainer.export_comparison import Comparison

    _keep_settings()
    checkpoint = folder / request.checkpoint if request.checkpoint else _make_untrained(folder, request)
    result["stage"] = "export"
    exported = _run_exporter(checkpoint, request)
    # Ultralytics puts some into a folder of its own, such as that of Edge TPU (8.3.200 to 8.4.190)
    file = exported.resolve().relative_to(folder.resolve()).as_posix()
    result |= {"file": file, "bytes": _size(exported), "versions": _versions(request.format)}
    result["stage"] = "compare"
    result |= Comparison(checkpoint, exported, request).figures(folder)
    result["stage"] = "done"


def _run_exporter(checkpoint: Path, request: ExportRequest) -> Path:
    from ultralytics import YOLO

    arguments = dict(request.arguments)
    if not arguments.get("data") and (arguments.get("int8") or arguments.get("quantize")) and request.data.images:
        from yolo_callbacks.trainer.export_comparison import write_sample

        # Ultralytics would calibrate on a data set that it downloads (8.4.190).
        arguments["data"] = str(write_sample(checkpoint.parent, request))
    exported = YOLO(str(checkpoint), task=request.task).export(format=request.format, **arguments)
    if not exported or not Path(exported).exists():
        raise OSError(f"Ultralytics exported nothing to {request.format}")
    return Path(exported)


def _make_untrained(folder: Path, request: ExportRequest) -> Path:
    """Write a checkpoint of an untrained model."""
    from importlib import import_module

    import torch

    described = request.model or {}
    kind: Any = import_module(str(described["module"]))
    for name in str(described["class"]).split("."):
        kind = getattr(kind, name)
    content = dict(described["yaml"])
    made = kind(content, ch=int(content.get("channels", 3)), verbose=False)
    made.names = {int(index): str(name) for index, name in described["names"].items()} or made.names
    made.task = request.task
    path = folder / _UNTRAINED
    torch.save({"model": made, "train_args": {"imgsz": request.arguments["imgsz"], "task": request.task}}, path)
    return path


# The process ---------------------------------------------------------------------------------------------------------


def _end_with_parent(folder: Path) -> threading.Lock:
    """End this process and those that it has started, and remove its folder, when standard input is closed.

    Returns:
        A lock that is held from that moment on.
    """
    ending = threading.Lock()

    def watch() -> None:
        with contextlib.suppress(OSError):
            os.read(0, 1)  # not `sys.stdin.read`, whose lock would abort the interpreter at its end
        ending.acquire()
        for _ in range(_REMOVALS):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    if sys.stdin is not None:  # None where it was closed from the start
        threading.Thread(target=watch, name="parent", daemon=True).start()
    return ending


def _take_little(threads: int) -> None:
    """Give way to the training: a low priority, and few processors."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has no nice: the parent has set the priority
        os.nice(_NICE)
    with contextlib.suppress(OSError, AttributeError):
        # ONNX Runtime takes as many threads as it may use processors, whatever OMP_NUM_THREADS says (1.32).
        allowed = sorted(os.sched_getaffinity(0))
        first = os.getpid() % len(allowed)
        os.sched_setaffinity(0, (allowed + allowed)[first : first + threads])


def _keep_settings() -> None:
    """Prevent Ultralytics from writing the user's settings: on an Intel CPU its exporter does so once (8.4.190)."""
    from ultralytics.utils import SETTINGS

    with contextlib.suppress(Exception):
        dict.__setitem__(SETTINGS, "openvino_msg", False)


# The result ----------------------------------------------------------------------------------------------------------


def _described(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text if isinstance(error, (AssertionError, ImportError)) else f"{type(error).__name__}: {text}"


def _missing_module(error: BaseException | None) -> str:
    """Return the module that is not installed, where that has caused an exception."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.partition(".")[0]
        error = error.__cause__ or error.__context__
    return ""


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def _versions(name: str) -> Mapping[str, str]:
    """Return the versions of the packages that an export to a format was made with."""
    from importlib import metadata

    import torch
    import ultralytics

    found = {"ultralytics": str(ultralytics.__version__), "torch": str(torch.__version__)}
    for package in ("onnx", "onnxruntime", "onnxslim", "openvino", "tensorrt", "coremltools"):
        module = {"engine": "tensorrt", "coreml": "coremltools"}.get(name, name)
        if (package.startswith("onnx") and module != "onnx") or not package.startswith(module):
            continue
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
