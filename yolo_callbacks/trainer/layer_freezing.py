"""Freeze layers of the model that is trained, and train layers with a share of the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from yolo_callbacks.decisions.layers import ModelParts

__all__ = ["LayerFreezing"]


class LayerFreezing:
    """Freeze and train the layers of one trainer's model.

    A frozen parameter needs no gradient: it has none, and no state in the optimizer, so the optimizer leaves it alone,
    weight decay included. What is frozen before the first call of `train_only`, by `freeze=` or by code of the user,
    stays frozen.

    The parameter groups of the optimizer do not change: a resume needs those that Ultralytics makes. While the
    optimizer steps, they are split by the factor of the learning rate.

    Args:
        trainer: The trainer.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._never: set[int] | None = None  # the ids of the parameters that were frozen from the start
        self._frozen: frozenset[int] = frozenset()
        self._factors: dict[int, float] = {}  # by the id of a parameter
        self._whole: list[dict[str, Any]] | None = None  # the parameter groups, while they are split
        self._pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []  # each with one of its parts
        self._hooked: Any = None
        self._handles: list[Any] = []

    @property
    def obstacle(self) -> str:
        """Why the layers of this model cannot be frozen; empty where they can."""
        if not _layers(self._trainer.model):
            return "the model of this training has no list of layers"
        if getattr(self._trainer.model, "static_graph", False):
            # DistributedDataParallel expects the gradients of the first batch in every other one
            return "with compile=True on several GPUs the same layers must be trained in every epoch"
        return ""

    @property
    def parts(self) -> ModelParts:
        """The layers of the model."""
        yaml = getattr(_core(self._trainer.model), "yaml", None)
        backbone = yaml.get("backbone") if isinstance(yaml, dict) else None
        return ModelParts(len(_layers(self._trainer.model)), len(backbone) if backbone else None)

    def size(self, layers: Collection[int]) -> int:
        """Return how many weights of some layers are trained, or can be."""
        return sum(parameter.numel() for parameter in self._trainable(layers))

    def train_only(self, layers: Collection[int], factors: Mapping[int, float]) -> None:
        """Train some layers from the next batch on, and freeze all others. Every rank calls this before each epoch.

        Args:
            layers: The numbers of the layers that are trained.
            factors: The factor of the learning rate by number of the layer; 1.0 where there is none.
        """
        every = range(self.parts.count)
        self._allow_missing_gradients()
        if self._never is None:
            self._never = {id(each) for each in _parameters(self._trainer.model, every) if not each.requires_grad}
        self._frozen = frozenset(every) - frozenset(layers)
        trained = {id(parameter) for parameter in self._trainable(layers)}
        state = getattr(self._trainer.optimizer, "state", {})
        for parameter in self._trainable(every):
            if id(parameter) in trained:
                parameter.requires_grad = True
            else:
                parameter.requires_grad = False
                parameter.grad = None  # with accumulation, gradients of the last batches may be left
                state.pop(parameter, None)
        self._scale_rates(factors)

    def _allow_missing_gradients(self) -> None:
        """Let several processes exchange gradients where some parameters have none.

        Otherwise each waits for the gradients of all parameters: 8.4.51 and 8.4.52 do not ask for it. Every rank gets
        here before its first batch.
        """
        parallel = self._trainer.model
        if getattr(parallel, "find_unused_parameters", True):
            return
        self._trainer.model = type(parallel)(
            parallel.module, device_ids=parallel.device_ids, find_unused_parameters=True
        )

    def freeze_statistics(self) -> None:
        """Let the running statistics of frozen layers stay as they are, until the model is set to training mode again.

        Ultralytics sets it to training mode after `on_train_epoch_start`, and freezes only the statistics of `freeze=`.
        """
        layers = _layers(self._trainer.model)
        for number in self._frozen:
            for module in layers[number].modules():
                if getattr(module, "running_mean", None) is not None:
                    module.eval()

    def copy_to_average(self, layers: Iterable[int], *, statistics: bool) -> None:
        """Copy layers that were never trained into the EMA, which rounding moves away from them up to 8.4.52 or so.

        Args:
            layers: The numbers of the layers.
            statistics: Whether the running statistics are copied too.
        """
        average = getattr(getattr(self._trainer, "ema", None), "ema", None)
        if average is None:  # rank > 0 before 8.3.218
            return
        import torch

        sources, targets = _layers(self._trainer.model), _layers(average)
        with torch.no_grad():
            for number in layers:
                for target, value in _tensors(sources[number], targets[number], statistics=statistics):
                    target.copy_(value)

    def close(self) -> None:
        """Remove what was registered with the optimizer. The layers stay as they are."""
        if self._hooked is not None:
            self._join(self._hooked)
        for handle in self._handles:
            handle.remove()
        self._handles, self._hooked, self._factors = [], None, {}

    # The rates --------------------------------------------------------------------------------------------------------

    def _scale_rates(self, factors: Mapping[int, float]) -> None:
        """Let each step of the optimizer use the factors. Up to 8.4.120 it is replaced where memory ran out."""
        model = self._trainer.model
        self._factors = {
            id(parameter): factor for layer, factor in factors.items() for parameter in _parameters(model, [layer])
        }
        if self._factors and self._hooked is not self._trainer.optimizer:
            for handle in self._handles:
                handle.remove()
            self._hooked = optimizer = self._trainer.optimizer
            self._handles = [
                optimizer.register_step_pre_hook(_hook(self._split)),
                optimizer.register_step_post_hook(_hook(self._join)),
            ]

    def _split(self, optimizer: Any) -> None:
        """Replace each parameter group by one for each factor."""
        self._join(optimizer)  # where the last step has raised
        self._whole = optimizer.param_groups
        self._pairs = [(group, part) for group in self._whole for part in self._parts_of(group)]
        optimizer.param_groups = [part for _, part in self._pairs]

    def _parts_of(self, group: dict[str, Any]) -> Iterator[dict[str, Any]]:
        parameters: dict[float, list[Any]] = {}
        for parameter in group["params"]:
            parameters.setdefault(self._factors.get(id(parameter), 1.0), []).append(parameter)
        for factor, some in parameters.items():
            yield {**group, "params": some, "lr": group["lr"] if factor == 1.0 else group["lr"] * factor}

    def _join(self, optimizer: Any) -> None:
        """Put the parameter groups back, with what the optimizer has written into their parts."""
        if self._whole is None:
            return
        for group, part in self._pairs:
            group.update({key: value for key, value in part.items() if key not in ("params", "lr")})
        optimizer.param_groups, self._whole, self._pairs = self._whole, None, []

    def _trainable(self, layers: Iterable[int]) -> Iterator[Any]:
        """Yield the parameters of layers that may be trained."""
        for parameter in _parameters(self._trainer.model, layers):
            if parameter.requires_grad if self._never is None else id(parameter) not in self._never:
                yield parameter


def _hook(function: Callable[[Any], None]) -> Callable[..., None]:
    """Return a hook of an optimizer, which gets the arguments of `step` too."""

    def called(optimizer: Any, arguments: Any, keywords: Any) -> None:
        function(optimizer)

    return called


def _core(model: Any) -> Any:
    """Return a model without what wraps it: several GPUs, `compile=True`, a distillation."""
    for name in ("module", "_orig_mod", "student_model"):
        model = getattr(model, name, model)
    return model


def _layers(model: Any) -> list[Any]:
    """Return the layers of a model in their order; none where it has no list of them."""
    try:
        return list(_core(model).model)
    except (AttributeError, TypeError):
        return []


def _parameters(model: Any, layers: Iterable[int]) -> Iterator[Any]:
    every = _layers(model)
    for number in layers:
        yield from every[number].parameters()


def _tensors(source: Any, target: Any, *, statistics: bool) -> Iterator[tuple[Any, Any]]:
    """Yield pairs of tensors of one name, that of `target` first."""
    values = source.state_dict() if statistics else dict(source.named_parameters())
    there = target.state_dict()
    for name, value in values.items():
        if name in there and there[name].is_floating_point():
            yield there[name], value
