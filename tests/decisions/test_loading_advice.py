"""Test the advice for a training that waits for data."""

from __future__ import annotations

import dataclasses

import pytest

from yolo_callbacks.decisions.loading_advice import Loading, advise

GIB = 2**30
FULL = Loading(workers=8, most_workers=8, cached="ram", cache_bytes=GIB, free_bytes=16 * GIB, busy=0.95)


@pytest.mark.parametrize("share", [0.0, 0.19, 0.2])
def test_no_advice_where_waiting_costs_little(share):
    assert advise(share, dataclasses.replace(FULL, workers=0)) == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"workers": 2, "busy": 0.5}, "train with workers=8, now 2"),
        ({"workers": 2, "busy": None}, "train with workers=8, now 2"),
        ({"workers": 2, "cached": ""}, "train with cache=ram, which takes about 1 of 16 GiB of free memory"),
        ({"cached": ""}, "train with cache=ram, which takes about 1 of 16 GiB of free memory"),
        ({"cached": "disk", "cache_bytes": 2 * GIB}, "train with cache=ram, which takes about 2 of 16 GiB"),
        ({"cached": "", "free_bytes": 2 * GIB}, "train with cache=disk, which stores the decoded images"),
        ({"cached": "", "cache_bytes": 0}, "train with cache=disk, which stores the decoded images"),
        ({"cached": "", "free_bytes": GIB, "busy": 0.2}, "only 20 % of the cores are busy, so the disk is"),
        (
            {"cached": "disk", "free_bytes": GIB, "busy": 0.2},
            "only 20 % of the cores are busy, so the disk is",
        ),
        ({"cached": "disk", "free_bytes": GIB}, "the cores are the limit: use images of the size imgsz"),
        ({}, "the cores are the limit: use images of the size imgsz"),
        (
            {"mosaic": True},
            "the cores are the limit: use images of the size imgsz, and mosaic= below 1 or a larger close_mosaic=",
        ),
    ],
)
def test_the_advice_depends_on_the_run(changed, said):
    found = advise(0.434, dataclasses.replace(FULL, **changed))
    assert found.startswith(f"43 % of the training time waits for data: {said}")
    if not changed:
        assert found.endswith("imgsz")
