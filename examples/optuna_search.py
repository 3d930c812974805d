"""Search a learning rate with Optuna; trials that are not promising end early.

python examples/optuna_search.py                          # trees, the data set that comes with the package
python examples/optuna_search.py --data coco8.yaml --imgsz 640 --epochs 20
"""

from __future__ import annotations

import optuna
from arguments import training
from ultralytics import YOLO

from yolo_callbacks import OptunaPruning, attach

TRIALS = 4


def main() -> None:
    arguments = training("Search a learning rate with Optuna.", epochs=6)
    epochs = 0

    def objective(trial: optuna.Trial) -> float:
        nonlocal epochs
        model, pruning = YOLO("yolo11n.yaml"), OptunaPruning(trial, "mAP50")
        attach(model, pruning)
        lr0 = trial.suggest_float("lr0", 1e-5, 1e-1, log=True)
        try:
            model.train(**arguments, lr0=lr0, optimizer="AdamW")
        finally:  # after a pruned trial too
            epochs += len(pruning.reported)
        return max(pruning.reported.values())

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(2, n_warmup_steps=2))
    study.optimize(objective, n_trials=TRIALS)
    pruned = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    planned = TRIALS * arguments["epochs"]
    print(f"{pruned} of {TRIALS} trials pruned: {epochs} of {planned} epochs trained, {planned - epochs} saved")
    print(f"best mAP50 {study.best_value:.4f} with {study.best_params}")


if __name__ == "__main__":
    main()
