"""Train in the processes that a launcher, such as torchrun or srun, has started, on one node or several.

Ultralytics 8.4.190 takes the number of processes from `device=`, which is that of one node, and 0 on a CPU: it would
multiply the loss by it. It starts no process group on a CPU, and each process names the folder of the run itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.installation import installed_version
from yolo_callbacks.trainer.launch_exchange import LaunchExchange, opened_store
from yolo_callbacks.trainer.leaving import Leaving
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.launcher import Launch

__all__ = [
    "exchange_in_launch",
    "is_launched",
    "launch_left_early",
    "leave_launch",
    "prepare_launch",
    "train_in_launch",
]

_OLDEST = (8, 4, 190)  # the methods that this module replaces had other arguments before
_TIMEOUT = timedelta(hours=3)  # as Ultralytics: rank 0 alone may scan a data set, while the others wait

_launches: list[Launch] = []  # that of this process, or none
_controls: list[Any] = []  # the group of all its ranks on the CPU, or none
_left: list[Leaving] = []  # how the last training was left to be continued, or none


def train_in_launch(launch: Launch) -> None:
    """Make each training of this process one rank of those of a launcher.

    Args:
        launch: The place of this process.

    Raises:
        ValueError: If Ultralytics is older than 8.4.190.
    """
    if installed_version() < _OLDEST:
        found = ".".join(map(str, installed_version()))
        raise ValueError(f"training under torchrun or srun needs ultralytics 8.4.190 or newer, found {found}")
    _launches[:] = [launch]


def is_launched() -> bool:
    """Return whether the trainings of this process are ranks of a launcher, after `train_in_launch`."""
    return bool(_launches)


def prepare_launch(model: Any, arguments: dict[str, Any]) -> None:
    """Let a training use the trainer of a launch, after `train_in_launch`; else refuse what Ultralytics cannot train.

    Args:
        model: The model.
        arguments: The arguments of `model.train()`.

    Raises:
        ValueError: If the processes of a launcher, and the devices or the data do not fit.
    """
    if not _launches:
        _check_plain_launch(arguments)
        return
    if isinstance(arguments.get("data"), (list, tuple)):
        raise ValueError("under torchrun or srun a command trains on one data set, got a list for data=")
    base = arguments.get("trainer") or model.task_map[model.task]["trainer"]
    own = {"launch": _launches[0], "__module__": base.__module__}
    arguments["trainer"] = type(base.__name__, (LaunchedTraining, base), own)


def _check_plain_launch(arguments: Mapping[str, Any]) -> None:
    """Refuse a launch for which Ultralytics would count another number of processes, by which it multiplies the loss.

    Up to 8.4.190 at least it counts the devices of `device=`, and 0 for a CPU.
    """
    from ultralytics.utils import RANK

    if RANK == -1 or arguments.get("trainer") is not None:  # a trainer of the user may count them itself
        return
    device = re.sub(r"[\s()\[\]']", "", str(arguments.get("device") or "").lower())
    count = 0 if device in {"cpu", "mps"} else len(device.split(","))
    started = int(os.environ.get("WORLD_SIZE", "1"))  # older versions have no WORLD_SIZE
    if count != started:
        raise ValueError(
            f"a launcher has started {started} process(es), but Ultralytics counts {count} from device={device}, and "
            f"would multiply the loss by {count}: start `yolo-callbacks train` with the launcher, or name "
            f"{started} device(s) of one node"
        )


def exchange_in_launch(launch: Launch) -> LaunchExchange:
    """Return what exchanges values between the processes of a launch, before a training; every process must call it.

    Args:
        launch: The place of this process.
    """
    return LaunchExchange(launch, _TIMEOUT)


def launch_left_early() -> bool:
    """Return whether the last training of this launch was left to be continued; every rank knows it."""
    return bool(_left)


def leave_launch() -> None:
    """Leave the process group when all ranks have ended their training.

    A launcher may end the others where the first process ends, and rank 0 has files to write then.
    """
    from torch import distributed

    if not distributed.is_initialized():
        return
    for group in _controls:
        with contextlib.suppress(RuntimeError):  # a rank has failed, and nobody is to wait for it
            distributed.barrier(group)
    _controls.clear()
    distributed.destroy_process_group()


class LaunchedTraining:
    """Make a trainer of Ultralytics one rank of a training that a launcher has started.

    The class is put before that of the trainer.

    Attributes:
        launch: The place of this process.
    """

    launch: Launch

    def __init__(self, *, overrides: Mapping[str, Any], **others: Any) -> None:
        from ultralytics.cfg import get_cfg, get_save_dir

        settings = get_cfg(overrides=dict(overrides))
        if not settings.resume:
            _check_batch(settings.batch, self.launch)
        self._gpus = _gpus(settings.device, self.launch)
        self._control, self._leaders = _join(self.launch, self._gpus)
        _controls[:] = [self._control]
        given = {**overrides, "device": ",".join(map(str, self._gpus)) or "cpu"}
        if not settings.resume:  # a checkpoint names its folder
            given["save_dir"] = self._of_main(str(get_save_dir(settings)) if self.launch.rank == 0 else None)
        parent: Any = super()
        parent.__init__(overrides=given, **others)
        self.world_size, self.ddp = self.launch.world_size, False
        self._prepare_arguments()

    def train(self) -> None:
        """Train, and note how the training was left."""
        parent: Any = super()
        _left.clear()
        parent.train()
        run = vars(self).get("_yolo_callbacks")
        if run is not None and run.left is not None and run.left.resumable:
            _left.append(run.left)

    def _prepare_arguments(self) -> None:
        """Check and change the arguments as Ultralytics does before it starts workers of several GPUs."""
        trainer: Any = self
        _check_batch(trainer.args.batch, self.launch)  # of a checkpoint
        if trainer.args.rect:
            LOGGER.warning("rect=True does not work with several processes, using rect=False")
            trainer.args.rect = False

    def _of_main(self, value: Any) -> Any:
        """Return the value of rank 0; every rank must call this."""
        from torch import distributed

        values = [value]
        distributed.broadcast_object_list(values, 0, group=self._control)
        return values[0]

    @contextmanager
    def _main_node_first(self) -> Iterator[None]:
        """Let the first process of each other node wait for rank 0.

        The others of a node wait for its first process in Ultralytics. The nodes may share the disk on which each first
        process writes the cache of the labels.
        """
        from torch import distributed

        leads = self.launch.local_rank == 0
        if leads and self.launch.rank:
            distributed.barrier(self._leaders)
        yield
        if leads and not self.launch.rank:
            distributed.barrier(self._leaders)

    def get_dataset(self) -> Any:
        """Download and check the data set on one node after the other."""
        parent: Any = super()
        with self._main_node_first():
            return parent.get_dataset()

    def build_dataset(self, *arguments: Any, **keywords: Any) -> Any:
        """Scan the labels on one node after the other."""
        parent: Any = super()
        with self._main_node_first():
            return parent.build_dataset(*arguments, **keywords)

    def _setup_ddp(self) -> None:
        """Use the device of this process; it is in the group already."""
        if not self._gpus:
            return
        import torch
        from ultralytics.utils.torch_utils import get_torch_device_backend

        self.device = torch.device("cuda", self._gpus[self.launch.local_rank])
        self.accelerator = get_torch_device_backend(self.device)
        self.accelerator.set_device(self.device.index)

    def _setup_train(self) -> None:
        """Build the model; without the number of a GPU on a CPU, where torch refuses one."""
        parent: Any = super()
        if self._gpus:
            parent._setup_train()
            return
        from torch.nn import parallel

        class OnCpu(parallel.DistributedDataParallel):
            def __init__(self, module: Any, device_ids: Any = None, **others: Any) -> None:
                super().__init__(module, **others)

        with _replaced(parallel, DistributedDataParallel=OnCpu):
            parent._setup_train()

    def final_eval(self) -> None:
        """Evaluate the best.pt of rank 0 on every rank: other nodes may have none on their disk, or an old one.

        A rank without the file would leave out the evaluation, and the others would wait for it.
        """
        trainer: Any = self
        parent: Any = super()
        main, own = self.launch.rank == 0, trainer.best
        content = self._of_main(own.read_bytes() if main and own.is_file() else None)
        with tempfile.TemporaryDirectory(prefix="yolo-callbacks-") as folder, self._evaluating_here():
            if not main:
                trainer.best = Path(folder) / own.name
                if content is not None:
                    trainer.best.write_bytes(content)
            try:
                parent.final_eval()
            finally:
                trainer.best = own

    @contextmanager
    def _evaluating_here(self) -> Iterator[None]:
        """Let the final evaluation use the CPU: with several processes 8.4.190 asks for the current GPU there."""
        if self._gpus:
            yield
            return
        import torch
        from ultralytics.engine import validator

        backend = validator.AutoBackend

        def on_cpu(*arguments: Any, **keywords: Any) -> Any:
            return backend(*arguments, **{**keywords, "device": torch.device("cpu")})

        with _replaced(validator, AutoBackend=on_cpu, get_torch_device_backend=lambda kind: _NoGpu):
            yield


class _NoGpu:
    """Answer where Ultralytics asks for the number of the current GPU, and does not use it."""

    @staticmethod
    def current_device() -> int:
        return 0


@contextmanager
def _replaced(owner: Any, **values: Any) -> Iterator[None]:
    originals = {name: getattr(owner, name) for name in values}
    vars(owner).update(values)
    try:
        yield
    finally:
        vars(owner).update(originals)


def _check_batch(batch: float, launch: Launch) -> None:
    if batch < launch.world_size:
        raise ValueError(
            f"batch={batch:g} is the batch of all {launch.world_size} processes together: give at least one image to "
            "each (the automatic batch size works with one process only)"
        )


def _gpus(device: Any, launch: Launch) -> tuple[int, ...]:
    """Return the GPUs of this node's processes; none where they train on the CPU.

    Raises:
        ValueError: If the processes and the devices of this node do not fit.
    """
    import torch
    from ultralytics.utils.torch_utils import parse_device

    if "-1" in str(device):
        raise ValueError(f"device={device}: under torchrun or srun name the GPUs, since each process would choose one")
    found, count = torch.cuda.device_count(), launch.local_world_size
    name = parse_device("" if device is None else device)
    if name == "cpu" or (not name and not found):
        return ()
    numbers = name.split(",") if name else [str(index) for index in range(count)]
    if not all(number.isdigit() for number in numbers):
        raise ValueError(f"device={device}: training under torchrun or srun uses NVIDIA GPUs or the CPU")
    if len(numbers) != count or len(set(numbers)) != count:
        raise ValueError(
            f"the launcher has started {count} process(es) on this node, but device={device} names {len(numbers)}: "
            "start one process for each GPU, and name the GPUs of one node"
        )
    if any(int(number) >= found for number in numbers):
        raise ValueError(
            f"the launcher has started {count} process(es) on this node, and this process sees {found} GPU(s): start "
            "one process for each GPU, and let each process see all GPUs of its node"
        )
    return tuple(map(int, numbers))


def _join(launch: Launch, gpus: tuple[int, ...]) -> tuple[Any, Any]:
    """Join the processes; return the group of all on the CPU, and that of the first process of each node."""
    import torch
    from torch import distributed

    if gpus:
        torch.cuda.set_device(gpus[launch.local_rank])
        os.environ["TORCH_NCCL_BLOCKING_WAIT"] = "1"  # as Ultralytics, so that the timeout ends a wait
    place: dict[str, Any] = {}
    if (store := opened_store()) is not None:
        place = {"store": store, "rank": launch.rank, "world_size": launch.world_size}
    distributed.init_process_group("nccl" if gpus else "gloo", timeout=_TIMEOUT, **place)
    # not over NCCL: a checkpoint that is sent would need memory of each GPU
    control: Any = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
    local_ranks: list[Any] = [None] * launch.world_size
    distributed.all_gather_object(local_ranks, launch.local_rank, group=control)
    leaders = [rank for rank, local_rank in enumerate(local_ranks) if local_rank == 0]
    return control, distributed.new_group(leaders, backend="gloo", timeout=_TIMEOUT)
