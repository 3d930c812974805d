"""The metrics of an epoch: a mapping as any other, whose KeyError names the key that was meant."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from yolo_callbacks.metrics.epoch_metrics import EpochMetrics

METRICS = EpochMetrics({"metrics/mAP50(B)": 0.5, "metrics/mAP50-95(B)": 0.25, "val/box_loss": 1.0})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mAP50", ", did you mean 'metrics/mAP50(B)'?"),
        ("mAP50-95", ", did you mean 'metrics/mAP50-95(B)'?"),
        ("val/boxloss", ", did you mean 'val/box_loss'?"),
        ("xyz", ""),
        ("", ""),
        (3, ""),
    ],
)
def test_the_nearest_key_is_named(name, meant):
    with pytest.raises(KeyError) as raised:
        METRICS[name]
    assert raised.value.args == (f"no metric {str(name)!r} in this epoch{meant}",)


def test_it_is_a_mapping_as_any_other():
    assert dict(METRICS) == METRICS
    assert METRICS.get("mAP50") is None
    assert "mAP50" not in METRICS
    assert pickle.loads(pickle.dumps(METRICS)) == copy.deepcopy(METRICS) == METRICS
    assert json.loads(json.dumps(METRICS)) == METRICS
