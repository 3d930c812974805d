"""The words that continue a training by the same call."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from yolo_callbacks.utils.repeating import repeated_by, what_repeats


def test_they_are_known_inside_the_block_only():
    before = dict(os.environ)
    with repeated_by("one"):
        with pytest.raises(KeyError, match="two"), repeated_by("two"):
            raise KeyError(what_repeats())
        assert what_repeats() == "one"
    assert what_repeats() == ""
    assert dict(os.environ) == before


def test_a_process_that_is_started_inside_the_block_knows_them():
    code = "from yolo_callbacks.utils.repeating import what_repeats; print(what_repeats())"
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with repeated_by("start the same command again"):
        run = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
    assert run.stdout.strip() == "start the same command again"
