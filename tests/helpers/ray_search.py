"""Run a search with Ray Tune on the tiny model with scripted metrics, in a process of its own, and write its results.

python tests/helpers/ray_search.py FOLDER DATA KIND
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

EPOCHS = 6
RISE = [1 - 0.5**epoch for epoch in range(1, EPOCHS + 1)]
PEAK = [0.5, 0.8, 0.9, 0.7, 0.6, 0.5]  # early stopping ends the run after epoch 5
# The goodness of each trial: the values of its metrics are multiplied by it.
TRIALS = {"asha": [0.9, 0.2, 0.8, 0.3, 0.7, 0.5], "pair": [0.9, 0.2], "population": [0.9, 0.2]}


def main(folder: Path, data: str, kind: str) -> None:
    import ray

    # Without the dashboard, and without the lines that Ray copies from the trials.
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        results = search_of_ultralytics(folder, data) if kind == "ultralytics" else search(folder, data, kind)
        write_results(folder, results)
    finally:
        ray.shutdown()


def search(folder: Path, data: str, kind: str) -> Any:
    """Search with a `Tuner`.

    Args:
        folder: The folder of the search.
        data: The data set.
        kind: `asha` is six trials; `pair` two in one process after each other; `population` two, of which one takes
            over the other; `whole` is one trial, `killed` one that is killed in epoch 4. With `-function` at its end,
            Ray's own wrapper of functions takes the place of `ray_trainable`.
    """
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining

    from yolo_callbacks import ray_trainable

    kind, _, api = kind.partition("-")
    space: dict[str, Any] = {"goodness": tune.grid_search(TRIALS.get(kind, [0.9]))}
    scheduler: Any = ASHAScheduler(time_attr="epoch", max_t=EPOCHS, grace_period=2, reduction_factor=2)
    if kind == "population":
        space["lr0"] = 0.01
        mutations: dict[str, Any] = {"lr0": [0.02, 0.04, 0.08]}
        scheduler = PopulationBasedTraining(
            time_attr="epoch",
            perturbation_interval=2,
            hyperparam_mutations=mutations,
            quantile_fraction=0.5,
            resample_probability=1.0,
            synch=True,
        )

    class Record(tune.Callback):  # type: ignore[misc]
        """Write each result: Ray 2.60 loses lines of its own files where a trial is restored at once."""

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any) -> None:
            with (folder / f"{trial.trial_id}.txt").open("a") as file:
                file.write(f"{result.get('epoch')}\n")

    def train(config: dict[str, Any]) -> None:
        train_one(folder, data, kind, config)

    tuner = tune.Tuner(
        train if api else ray_trainable(train),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="mAP50",
            mode="max",
            scheduler=scheduler,
            max_concurrent_trials=1 if kind == "pair" else 2,
            reuse_actors=kind == "pair",
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "ray"),
            name="search",
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=2),
            callbacks=[Record()],
        ),
    )
    return tuner.fit()


def train_one(folder: Path, data: str, kind: str, config: dict[str, Any]) -> None:
    """Train the tiny model with callbacks that decide by scripted values."""
    from trainings import FAST, TINY
    from ultralytics import YOLO

    from yolo_callbacks import EarlyStopping, JsonlLogger, RayTuneReporter, ReduceLROnPlateau, SaveBest, attach

    config = dict(config)
    goodness = config.pop("goodness")
    script_validation([goodness * value for value in (PEAK if kind in ("whole", "killed") else RISE)])
    model = YOLO(TINY, task="detect")
    attach(
        model,
        RayTuneReporter("mAP50"),
        SaveBest("mAP50", top_k=2),
        ReduceLROnPlateau("mAP50", patience=0),
        EarlyStopping("mAP50", patience=2),
        JsonlLogger(),
    )

    def kill_once(trainer: Any) -> None:
        if kind == "killed" and trainer.epoch == 3 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    model.add_callback("on_train_batch_end", kill_once)
    arguments = {**FAST, "data": data, "epochs": EPOCHS, "project": str(folder / "runs"), "optimizer": "SGD"}
    model.train(**arguments, **config)


def script_validation(values: list[float]) -> None:
    """Replace the validation of this process: one value an epoch, and the best one in the final evaluation."""
    from trainings import detection_metrics
    from ultralytics.engine.validator import BaseValidator

    def validate(self: Any, trainer: Any = None, model: Any = None) -> dict[str, float]:
        self.training = trainer is not None
        self.run_callbacks("on_val_start")
        self.run_callbacks("on_val_end")
        metrics = detection_metrics(values[trainer.epoch] if self.training else max(values))
        return {"fitness": metrics["metrics/mAP50-95(B)"], **metrics}

    BaseValidator.__call__ = validate


def search_of_ultralytics(folder: Path, data: str) -> Any:
    """Search with `model.tune(use_ray=True)`; the callbacks are those of `YOLO_CALLBACKS`."""
    from ray import tune
    from trainings import FAST, TINY
    from ultralytics import YOLO

    space = {"lr0": tune.uniform(1e-4, 1e-2)}
    fast = {**FAST, "data": data, "project": str(folder / "runs"), "epochs": 3, "search_alg": "random"}
    return YOLO(TINY, task="detect").tune(use_ray=True, space=space, iterations=3, grace_period=1, **fast)


def write_results(folder: Path, results: Any) -> None:
    """Write what Ray Tune knows of each trial, one line each."""
    with (folder / "results.jsonl").open("w") as file:
        for result in results:
            row = {
                "id": result.metrics["trial_id"],
                "config": result.config,
                "error": repr(result.error) if result.error else "",
                "checkpoint": result.checkpoint.path if result.checkpoint else "",
                "metrics": result.metrics,
            }
            file.write(json.dumps(row, default=str) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
