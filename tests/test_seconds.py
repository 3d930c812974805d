"""Arguments in seconds take durations, whatever callback has them."""

from __future__ import annotations

from typing import Any

import pytest

from yolo_callbacks import Mirror, MLflowLogger, Notify, Preemption, WandbLogger


@pytest.mark.parametrize(
    ("make", "arguments", "name"),
    [
        (Notify, ["json://host"], "every"),
        (Notify, ["json://host"], "stall_after"),
        (Notify, ["json://host"], "finish_timeout"),
        (Preemption, [], "grace"),
        (Mirror, ["memory://a"], "finish_timeout"),
        (WandbLogger, [], "init_timeout"),
        (WandbLogger, [], "finish_timeout"),
        (MLflowLogger, [], "init_timeout"),
        (MLflowLogger, [], "finish_timeout"),
    ],
)
def test_a_duration_is_seconds(make: Any, arguments: list[str], name: str):
    assert getattr(make(*arguments, **{name: "2m"}), name) == 120
    assert getattr(make(*arguments, **{name: 90}), name) == 90
