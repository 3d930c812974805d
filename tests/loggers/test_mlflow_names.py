"""The names that scalars have in MLflow: what MLflow accepts, no two alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_callbacks.loggers.mlflow_parts.names import MetricNames


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("metrics/mAP50-95(B)", "metrics/mAP50-95B"),  # as Ultralytics' own integration names it
        ("per_class/fire truck/mAP50(M)", "per_class/fire truck/mAP50M"),
        ("lr/pg0", "lr/pg0"),
        ("per_class/Bäume/recall", "per_class/Bäume/recall"),
        ("per_class/cat#0/recall", "per_class/cat_0/recall"),
        ("a:b", "a_b"),  # MLflow on Windows accepts no colon
        ("per_class/a//b/../c", "per_class/a/_/b/_/c"),
        ("/", "_/_"),
    ],
)
def test_name(key, name):
    assert MetricNames().of(key) == name


def test_two_scalars_do_not_share_a_name():
    names = MetricNames()
    assert [names.of(key) for key in ("x/a&b", "x/a+b", "x/a_b", "x/a&b")] == ["x/a_b", "x/a_b_2", "x/a_b_3", "x/a_b"]


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=5, unique=True))
def test_mlflow_accepts_every_name(keys):
    validation = pytest.importorskip("mlflow.utils.validation")
    names = MetricNames()
    found = [names.of(key) for key in keys]
    for name in found:
        validation._validate_metric_name(name)
        validation._validate_length_limit("metric", validation.MAX_ENTITY_KEY_LENGTH, name)
    assert len(set(found)) == len(keys)
