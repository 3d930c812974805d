"""Run in place of the process that exports, for tests of `ExportBest`: it takes milliseconds.

`use` chooses what it does. The script imports nothing of this package, because the import of torch takes seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

PROVEN = {
    "stage": "done",
    "outputs": {"images": 1, "max_abs": 0.0, "mean_abs": 0.0, "max_rel": 0.0, "mean_rel": 0.0},
    "boxes": {"checkpoint": 5, "export": 5, "matched": 1.0, "score_max": 0.0, "score_mean": 0.0},
    "mAP": {"metric": "mAP50-95", "checkpoint": 0.5, "export": 0.5, "images": 4},
    "bytes": 3,
    "seconds": 0.1,
    "versions": {"onnx": "1"},
}
REFUSED = {**PROVEN, "mAP": {"metric": "mAP50-95", "checkpoint": 0.5, "export": 0.1, "images": 4}}


def use(monkeypatch: Any, *, untrained: dict[str, Any] | None = None, **behaviour: Any) -> None:
    """Let exports be done by the stand-in.

    Args:
        monkeypatch: That of pytest.
        untrained: The behaviour for the untrained copy. Defaults to `None`, which is a proof.
        **behaviour: `result`, `suffix` of the export (None: there is none), `seconds` to wait, `exit` code, `text` to
            print, and `environment`, the file for its environment.
    """
    from yolo_callbacks import ExportBest
    from yolo_callbacks.callbacks.export_parts import finished_run

    chosen = command(untrained=untrained or {}, trained=behaviour)
    monkeypatch.setattr(ExportBest, "_command", chosen)
    monkeypatch.setattr(finished_run, "COMMAND", chosen)


def stand_in(export: Any) -> Any:
    """Let an `ExportBest` have the stand-in do its exports, and return it."""
    export._command = command()
    return export


def command(**behaviour: Any) -> tuple[str, ...]:
    """Return the command of the stand-in, to which the folder is added."""
    return sys.executable, "-S", __file__, json.dumps(behaviour)


def main(behaviour: dict[str, Any], folder: Path) -> None:
    """Do what is asked for."""
    request = json.loads((folder / "request.json").read_text())
    does = behaviour.get("trained" if request["checkpoint"] else "untrained", {})
    print(does.get("text", ""), flush=True)
    if "environment" in does:
        Path(does["environment"]).write_text(json.dumps(dict(os.environ)))
    time.sleep(does.get("seconds", 0))
    if "exit" in does:
        sys.exit(does["exit"])
    result = does.get("result", PROVEN)
    suffix = does.get("suffix", ".onnx")
    if request["checkpoint"] and suffix:
        checkpoint = folder / request["checkpoint"]
        export = folder / f"{checkpoint.stem}{suffix}"
        if suffix.startswith("."):
            export.write_bytes(checkpoint.read_bytes()[:64])
        else:
            export.mkdir()
            (export / "model.bin").write_bytes(b"1")
        result = {**result, "file": export.name}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
