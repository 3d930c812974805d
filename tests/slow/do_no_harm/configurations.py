"""The trainings that a suite must leave as they are. A new one is one line of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch.optim import lr_scheduler

from do_no_harm import scripts, trainers
from do_no_harm.comparison import ASPECTS
from do_no_harm.trainers import overriding, scheduled, scripted


@dataclass(frozen=True)
class Configuration:
    """A training that is compared with itself: without a suite, with the default one, and with every callback."""

    name: str
    model: str = "tiny"
    """A file of `models/` without its ending, `"tiny"`, `"trained"`, or what Ultralytics has."""
    data: str = "detect"
    """A data set by its name in `data.py`."""
    trainer: type | None = None
    prepare: Callable[[Any], Any] | None = None
    """Adds callbacks of the user's to the model, before the suite is attached."""
    script: Callable[[Any], None] = scripts.once
    """The script of the user, which trains the model."""
    exit: str = "finished"
    """The end of the training without a suite: `finished`, or the beginning of the exception and its message."""
    aspects: tuple[str, ...] = ASPECTS
    """The aspects that are compared; `because` gives the reason where some are left out."""
    because: str = ""
    warns: bool = False
    """True if a callback cannot work with this configuration, so that the suite must print a warning."""
    forked: bool = False
    """True if the training runs in a process of its own, which does not import pytest."""
    sample: str = ""
    """The suite that the short run of `make test` compares; none where it is empty."""
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.aspects != ASPECTS and not self.because:
            raise ValueError(f"{self.name}: say why not everything is compared")

    def allows(self, line: str) -> bool:
        """Whether the configuration asks for a line that says that something went wrong."""
        return self.warns and line.startswith("WARNING of ultralytics.yolo_callbacks")


_OWN = set(Configuration.__dataclass_fields__) - {"arguments"}


def configuration(name: str, **fields: Any) -> Configuration:
    """A configuration: what is no field of it is an argument of the training."""
    arguments = {key: value for key, value in fields.items() if key not in _OWN}
    return Configuration(name, arguments=arguments, **{key: fields[key] for key in fields if key in _OWN})


def on(event: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Add a callback of the user's to an event."""
    return lambda model: model.add_callback(event, function)


def without(*aspects: str) -> tuple[str, ...]:
    """All aspects but some."""
    return tuple(aspect for aspect in ASPECTS if aspect not in aspects)


def _stop(epoch: int) -> Callable[[Any], None]:
    def stop(trainer: Any) -> None:
        if trainer.epoch == epoch:
            trainer.stop = True

    return stop


def _fail(epoch: int) -> Callable[[Any], None]:
    def fail(trainer: Any) -> None:
        if trainer.epoch == epoch:
            raise ZeroDivisionError("a fault of the user's")

    return fail


def _validate_every_second(trainer: Any) -> None:
    trainer.args.val = trainer.epoch % 2 == 0


def _use_workers(trainer: Any) -> None:
    trainer.args.workers = 2  # on a CPU Ultralytics sets it to 0


def _halve_rates(trainer: Any) -> None:
    if trainer.epoch == 1:
        trainer.scheduler.base_lrs = [rate / 2 for rate in trainer.scheduler.base_lrs]


def _add_metric(trainer: Any) -> None:
    trainer.metrics["metrics/own"] = trainer.epoch * 0.5


def _keep_more_files(trainer: Any) -> None:
    (trainer.wdir / f"mine-{trainer.epoch}.pt").write_bytes(trainer.last.read_bytes())


LEARNS = {"model": "learner", "data": "learnable", "imgsz": 64, "batch": 8, "nbs": 8, "optimizer": "AdamW", "lr0": 0.01,
          "mosaic": 0.0, "warmup_epochs": 0}  # fmt: skip
TUNED = {"model": "trained", "data": "learnable", "imgsz": 64}
NO_EVENTS = "no callback of this process reaches the processes that train"
THREADS = "the threads share the generators of random numbers"
c = configuration

CONFIGURATIONS = (
    # tasks
    c("detect"),
    c("detect, fine-tuned", **TUNED, sample="all"),
    c("detect, yolo11n", model="yolo11n.yaml", epochs=1),
    c("detect, yolo26n", model="yolo26n.yaml", epochs=1),
    c("segment", model="segment", data="segment"),
    c("pose", model="pose", data="pose"),
    c("obb", model="obb", data="obb"),
    c("classify", model="classify", data="classify"),
    c("classify, learns", model="classify", data="classify", optimizer="AdamW", lr0=0.03, warmup_epochs=0, epochs=5),
    c("semantic", model="semantic", data="semantic"),
    c("depth", model="depth", data="depth"),
    c("RT-DETR", model="rtdetr"),
    # nothing learned yet
    c("nothing detected, patience 3", epochs=9, patience=3),
    c("nothing detected, patience 1", epochs=5, patience=1),
    c("detects after some epochs, patience 3", **LEARNS, epochs=12, patience=3),
    c("stopped by Ultralytics' patience", trainer=scripted(fitness=(0.5, 0.4, 0.3, 0.2)), epochs=9, patience=2),
    c("learns and is not stopped, patience 0", **LEARNS, epochs=8, patience=0),
    # data
    c("backgrounds", data="backgrounds"),
    c("no object in the validation", data="nothing"),
    c("class absent from the validation", **{**TUNED, "data": "two of three"}),
    c("odd names", data="odd names"),
    c("odd names, fine-tuned, with plots", **{**TUNED, "data": "odd names"}, plots=True, epochs=2),
    c("fraction", fraction=0.5),
    c("cached in memory", cache="ram"),
    c("cached on disk", cache="disk"),
    c("workers", prepare=on("on_pretrain_routine_start", _use_workers)),
    c("workers, the mosaic is closed", prepare=on("on_pretrain_routine_start", _use_workers), close_mosaic=1),
    c("rectangular", rect=True, data="mixed sizes"),
    c("multi-scale", multi_scale=0.5, imgsz=64),
    c("single class", **TUNED, single_cls=True),
    c("one of the classes", **TUNED, classes=[0]),
    c("mosaic closed in the last epochs", close_mosaic=2, epochs=4),
    c("no mosaic", mosaic=0.0, close_mosaic=0),
    c("mixup and copy-paste", model="segment", data="segment", mixup=0.5, copy_paste=0.5),
    c("gradients accumulated", nbs=16, epochs=4),
    c("one image a batch", batch=1, nbs=1, imgsz=64, epochs=2),
    c("validation split test", split="train"),
    # rates
    c("cosine rates", cos_lr=True, epochs=4),
    c("SGD", optimizer="SGD"),
    c("AdamW", optimizer="AdamW"),
    c("Adam", optimizer="Adam"),
    c("RMSProp", optimizer="RMSProp"),
    c("MuSGD", optimizer="MuSGD"),
    c("NAdam", optimizer="NAdam"),
    c("RAdam", optimizer="RAdam"),
    c("Adamax", optimizer="Adamax"),
    c("no warm-up", warmup_epochs=0, optimizer="SGD"),
    c("long warm-up", warmup_epochs=10, optimizer="SGD", epochs=4),
    c("rates halved by a user's callback", prepare=on("on_train_epoch_start", _halve_rates), optimizer="SGD", epochs=4),
    # schedulers
    c("StepLR", trainer=scheduled(lambda o: lr_scheduler.StepLR(o, 1, 0.5)), warmup_epochs=0, epochs=4),
    c("CosineAnnealingLR", trainer=scheduled(lambda o: lr_scheduler.CosineAnnealingLR(o, 4)), warmup_epochs=0),
    c("SequentialLR", trainer=scheduled(trainers.sequential), warmup_epochs=0, epochs=5, sample="default"),
    c("ChainedScheduler", trainer=scheduled(trainers.chained), warmup_epochs=0),
    c("OneCycleLR", trainer=scheduled(lambda o: lr_scheduler.OneCycleLR(o, 0.01, total_steps=8)), warmup_epochs=0),
    c("ExponentialLR with warm-up", trainer=scheduled(lambda o: lr_scheduler.ExponentialLR(o, 0.5)), epochs=4),
    c("MultiStepLR", trainer=scheduled(lambda o: lr_scheduler.MultiStepLR(o, [1, 2])), warmup_epochs=0),
    c("PolynomialLR", trainer=scheduled(lambda o: lr_scheduler.PolynomialLR(o, 5)), warmup_epochs=0),
    c("CosineAnnealingWarmRestarts", trainer=scheduled(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2)),
      warmup_epochs=0),
    c("a scheduler that is none of torch's", trainer=scheduled(trainers.OwnScheduler), warmup_epochs=0),
    c("_setup_scheduler without super", trainer=overriding(_setup_scheduler=trainers.setup_without_super)),
    # trainers of Ultralytics' guide
    c("guide: F1 score in validate", trainer=trainers.MetricsTrainer, **TUNED),
    c("guide: class weights in the loss", trainer=trainers.WeightedTrainer),
    c("guide: best by recall", trainer=trainers.RecallTrainer, **TUNED),
    c("guide: frozen, then unfrozen", trainer=trainers.FreezingTrainer, freeze=2, epochs=4),
    c("guide: rates by layer", trainer=trainers.PerLayerTrainer, epochs=4),
    # overridden methods
    c("save_model without return", trainer=overriding(save_model=trainers.save_without_return)),
    c("save_model with a best of its own", trainer=overriding(save_model=trainers.save_own_best), epochs=4),
    c("save_model without super", trainer=overriding(save_model=trainers.save_without_super), warns=True),
    c("save_model every second epoch", trainer=overriding(save_model=trainers.save_every_second), epochs=4, warns=True),
    c("save_model writes nothing", trainer=overriding(save_model=trainers.no_save), warns=True,
      exit="FileNotFoundError"),
    c("validate every second epoch", trainer=overriding(validate=trainers.validate_every_second), epochs=4),
    c("validate without super", trainer=overriding(validate=trainers.validate_without_super), warns=True),
    c("final_eval does nothing", trainer=overriding(final_eval=trainers.no_final_eval)),
    c("final_eval looks at the result", trainer=overriding(final_eval=trainers.final_eval_later)),
    c("optimizer_step without clipping", trainer=overriding(optimizer_step=trainers.step_twice_as_often)),
    c("get_dataset with other names", trainer=overriding(get_dataset=trainers.get_dataset)),
    c("plot_metrics of its own", trainer=overriding(plot_metrics=trainers.plot_own), plots=True, epochs=2),
    c("save_metrics of its own", trainer=overriding(save_metrics=trainers.save_own_metrics)),
    c("a constructor of its own", trainer=trainers.ForgetfulTrainer),
    c("a classifier's own fitness", trainer=trainers.ClassifierOnTop, model="classify", data="classify"),
    c("a trainer without a model", script=scripts.by_trainer),
    # metrics and fitness
    c("a metric that comes later", trainer=scripted({}, {"metrics/f1": 0.5})),
    c("a metric that goes away", trainer=scripted({"metrics/f1": 0.5}, {})),
    c("metrics that come and go", trainer=scripted({"a": 1.0}, {"b": 2.0}, {"a": 1.0, "b": 2.0}), epochs=4),
    c("no metrics at all", trainer=scripted(None), warns=True),
    c("a metric that is not a number", trainer=scripted({"metrics/f1": float("nan"), "metrics/inf": float("inf")})),
    c("mAP is not a number", trainer=scripted({"metrics/mAP50-95(B)": float("nan")}), warns=True),
    c("a metric that is a text", trainer=scripted({"metrics/text": "good"}), exit="TypeError"),
    c("texts, none and lists among the metrics", trainer=trainers.NoNumbers),
    c("a negative fitness", trainer=scripted(fitness=(-3.0, -2.0, -1.0)), epochs=5, patience=3),
    c("a falling negative fitness", trainer=scripted(fitness=(-1.0, -2.0, -3.0)), epochs=6, patience=3),
    c("a fitness of None", trainer=scripted(fitness=(None,)), epochs=3, warns=True),
    c("a fitness of None at first", trainer=scripted(fitness=(None, None, 0.5)), epochs=4, warns=True),
    c("a metric of a user's callback", prepare=on("on_train_epoch_end", _add_metric)),
    # arguments
    c("val=False", val=False, epochs=4, warns=True),
    c("val=False, fine-tuned, patience 2", **TUNED, val=False, epochs=4, patience=2, warns=True),
    c("validation every second epoch", prepare=on("on_train_epoch_start", _validate_every_second), epochs=5),
    c("save=False", save=False, sample="default"),
    c("save=False, stopped early", save=False, trainer=scripted(fitness=(0.5, 0.4)), patience=1, epochs=5,
      exit="FileNotFoundError"),
    c("save_period", save_period=1),
    c("freeze", freeze=2),
    c("no AMP, not deterministic", amp=False, deterministic=False),
    c("another seed", seed=7),
    c("dropout and label smoothing", model="classify", data="classify", dropout=0.3),
    c("one epoch", epochs=1),
    c("plots", plots=True, epochs=2),
    c("verbose", verbose=True, epochs=2),
    c("profile", profile=True, epochs=1),
    c("by the clock", time=0.0005, lrf=1.0, warmup_epochs=0, optimizer="SGD",
      aspects=("exit", "columns", "rates"), because="how many epochs fit in depends on the machine"),
    # how it is started
    c("a folder used twice", script=scripts.same_folder),
    c("a model trained twice", script=scripts.twice),
    c("validated, then trained again", script=scripts.validated_after, epochs=2),
    c("resumed after an exception", script=scripts.resumed, epochs=5, optimizer="SGD"),
    c("resumed after an exception, learns", script=scripts.resumed, **LEARNS, epochs=8, patience=5),
    c("resumed after a stop by a callback", script=scripts.stopped_and_resumed, epochs=4),
    c("resumed, own trainer", script=scripts.resumed, trainer=trainers.MetricsTrainer, epochs=4),
    c("list of data sets", script=scripts.list_of_data, epochs=2),
    c("in threads", script=scripts.in_threads, aspects=("exit", "epochs", "columns", "files", "errors"),
      because=THREADS, forked=True),
    c("in a process of its own", forked=True),
    c("in a spawned process", script=scripts.spawned, aspects=without("events", "aftermath"), because=NO_EVENTS),
    c("tune", script=scripts.with_variable(scripts.tuned), **TUNED, epochs=2,
      aspects=without("events", "aftermath"), because=NO_EVENTS),
    c("the yolo command", script=scripts.with_variable(scripts.command),
      aspects=without("events", "aftermath"), because=NO_EVENTS),
    c("list of data sets, suite by the environment", script=scripts.with_variable(scripts.list_of_data), epochs=2,
      aspects=without("events", "aftermath"), because=NO_EVENTS),
    # stops and faults
    c("stopped by a user's callback", prepare=on("on_fit_epoch_end", _stop(1)), epochs=5),
    c("stopped in an epoch", prepare=on("on_train_batch_end", _stop(1)), epochs=5),
    c("stopped at the start of an epoch", prepare=on("on_train_epoch_start", _stop(1)), epochs=5),
    c("stopped as the epoch's checkpoint is there", prepare=on("on_model_save", _stop(1)), epochs=5),
    c("a fault in a user's callback", prepare=on("on_fit_epoch_end", _fail(1)), exit="ZeroDivisionError"),
    c("a fault in the validation", trainer=trainers.FailsInValidation, exit="OSError"),
    c("a fault before the first epoch", prepare=on("on_pretrain_routine_end", lambda trainer: 1 / 0),
      exit="ZeroDivisionError"),
    c("a fault after the last epoch", prepare=on("on_train_end", lambda trainer: 1 / 0), exit="ZeroDivisionError"),
    c("a data set that is not there", data="detect", trainer=overriding(get_dataset=lambda self: 1 / 0),
      exit="ZeroDivisionError"),
    c("NaN recovery", trainer=trainers.PoisonedOnce, epochs=4, warmup_epochs=0),
    c("NaN without recovery", trainer=trainers.PoisonedForGood, epochs=4, exit="RuntimeError: Training failed"),
    c("out of memory once", trainer=trainers.ShortOfMemory, warns=True),
    c("files of the user's in the weights folder", prepare=on("on_model_save", _keep_more_files)),
)  # fmt: skip
BY_NAME = {configuration.name: configuration for configuration in CONFIGURATIONS}
