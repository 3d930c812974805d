"""Pure rules: they take numbers and return a decision with its reason. No ultralytics, no torch, no files."""

from yolo_callbacks.decisions.comparison import Mode, counted, improves
from yolo_callbacks.decisions.freeing import Cadence, cache_is_idle, host_is_short
from yolo_callbacks.decisions.growth import Growth, GrowthRule
from yolo_callbacks.decisions.guard import Guarded, broken_guard
from yolo_callbacks.decisions.overfit import OverfitRule
from yolo_callbacks.decisions.plateau import PlateauDecision, PlateauRule, RateReduction
from yolo_callbacks.decisions.ranking import Ranking, RankingDecision
from yolo_callbacks.decisions.stopping import StopDecision, StoppingReason, StopRule
from yolo_callbacks.decisions.untrained import EpochKind, UntrainedRule, detects_nothing

__all__ = [
    "Cadence",
    "EpochKind",
    "Growth",
    "GrowthRule",
    "Guarded",
    "Mode",
    "OverfitRule",
    "PlateauDecision",
    "PlateauRule",
    "Ranking",
    "RankingDecision",
    "RateReduction",
    "StopDecision",
    "StopRule",
    "StoppingReason",
    "UntrainedRule",
    "broken_guard",
    "cache_is_idle",
    "counted",
    "detects_nothing",
    "host_is_short",
    "improves",
]
