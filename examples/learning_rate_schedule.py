"""Train with a schedule of the learning rate that rises once and falls once, and with one of your own.

python examples/learning_rate_schedule.py
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import LearningRateSchedule, attach


def polynomial(epoch: int, epochs: int) -> float:
    return float((1 - epoch / epochs) ** 0.9)


def main() -> None:
    arguments = training("Train with a schedule of the learning rate.", epochs=10)
    for schedule in (LearningRateSchedule("one_cycle", rise=0.3), LearningRateSchedule(polynomial)):
        model = YOLO("yolo11n.yaml")
        attach(model, schedule)
        model.train(**arguments, optimizer="AdamW", lr0=0.002, warmup_epochs=0)
        print(schedule.outcome())


if __name__ == "__main__":
    main()
