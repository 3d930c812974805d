"""Search a learning rate with Ray Tune; trials that are not promising end early.

python examples/ray_search.py                          # trees, the data set that comes with the package
python examples/ray_search.py --data coco8.yaml --imgsz 640 --epochs 20
"""

from __future__ import annotations

from typing import Any

from arguments import training
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ultralytics import YOLO

from yolo_callbacks import RayTuneReporter, attach, ray_trainable

TRIALS = 4


def main() -> None:
    arguments = training("Search a learning rate with Ray Tune.", epochs=6)
    epochs = arguments["epochs"]

    def train(config: dict[str, Any]) -> None:
        model = YOLO("yolo11n.yaml")
        attach(model, RayTuneReporter("mAP50"))
        model.train(**arguments, **config, optimizer="AdamW")

    tuner = tune.Tuner(
        tune.with_resources(ray_trainable(train), {"cpu": 1}),
        param_space={"lr0": tune.loguniform(1e-5, 1e-1)},
        tune_config=tune.TuneConfig(
            metric="mAP50",
            mode="max",
            num_samples=TRIALS,
            scheduler=ASHAScheduler(time_attr="epoch", max_t=epochs, grace_period=min(2, epochs), reduction_factor=2),
        ),
    )
    results = tuner.fit()
    trained, planned = sum(result.metrics["epoch"] for result in results), TRIALS * epochs
    print(f"{trained} of {planned} epochs trained, {planned - trained} saved")
    best = results.get_best_result()
    print(f"best mAP50 {best.metrics['mAP50']:.4f} with {best.config}")


if __name__ == "__main__":
    main()
