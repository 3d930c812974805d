"""Set the number of examples of Hypothesis: a tenth in `make test`, all in `make test-slow`."""

from __future__ import annotations

from hypothesis import settings

ALL = 1_000
settings.register_profile("small", max_examples=ALL // 10, deadline=None)
settings.register_profile("slow", max_examples=ALL, deadline=None)
settings.load_profile("small")  # pytest loads that of --hypothesis-profile later, and before it collects


def examples(count: int) -> settings:
    """Settings of a test that needs `count` examples; the profile says which part of them is tried."""
    return settings(max_examples=max(20, count * settings().max_examples // ALL), deadline=None)
