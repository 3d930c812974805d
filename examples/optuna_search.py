"""Search a learning rate with Optuna; trials that are not promising end early.

python examples/optuna_search.py                          # trees, the data set that comes with the package
python examples/optuna_search.py --data coco8.yaml --imgsz 640 --epochs 20
"""

from __future__ import annotations

from time import perf_counter

import optuna
from arguments import training
from ultralytics import YOLO

from yolo_callbacks import OptunaPruning, attach

TRIALS = 6


def main() -> None:
    arguments = training("Search a learning rate with Optuna.", epochs=12)
    epochs, seconds = 0, 0.0

    def objective(trial: optuna.Trial) -> float:
        nonlocal epochs, seconds
        model, pruning = YOLO("yolo11n.yaml"), OptunaPruning(trial, "mAP50")
        attach(model, pruning)
        lr0 = trial.suggest_float("lr0", 1e-5, 1e-1, log=True)
        started = perf_counter()
        try:
            model.train(**arguments, lr0=lr0, optimizer="AdamW")
        finally:  # after a pruned trial too
            epochs += len(pruning.reported)
            seconds += perf_counter() - started
        return max(pruning.reported.values())

    # half of the epochs before it prunes: a training from scratch detects nothing in the first ones
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=arguments["epochs"] // 2)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
    study.optimize(objective, n_trials=TRIALS)
    pruned = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    saved = TRIALS * arguments["epochs"] - epochs
    print(f"{pruned} of {TRIALS} trials pruned: {epochs} of {epochs + saved} epochs trained in {seconds:.0f} s")
    print(f"{saved} epochs saved, at {seconds / epochs:.1f} s an epoch about {saved * seconds / epochs:.0f} s")
    print(f"best mAP50 {study.best_value:.4f} with {study.best_params}")


if __name__ == "__main__":
    main()
