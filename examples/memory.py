"""Train twice in one process: print memory by phase, and how much memory each run has freed.

python examples/memory.py
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import MemoryCleanup, MemoryMonitor, attach


def main() -> None:
    model, monitor, cleanup = YOLO("yolo11n.yaml"), MemoryMonitor(), MemoryCleanup()
    attach(model, monitor, cleanup)
    arguments = training("Measure memory, and free it.", epochs=5)
    for run in (1, 2):
        model.overrides["model"] = "yolo11n.yaml"  # Ultralytics 8.4.51 to 8.4.103 lose it with the first run
        model.train(**arguments)
        print(f"run {run}: {monitor.readings['train']}, {sum(cleanup.freed.values()):.2f} GiB freed")


if __name__ == "__main__":
    main()
