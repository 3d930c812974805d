"""Decisions: numbers in, decision and reason out. No ultralytics, no torch, no files."""

from yolo_callbacks.decisions.comparison import Mode, improves
from yolo_callbacks.decisions.ranking import Ranking, RankingDecision
from yolo_callbacks.decisions.stopping import StopDecision, StoppingReason, StopRule

__all__ = ["Mode", "Ranking", "RankingDecision", "StopDecision", "StopRule", "StoppingReason", "improves"]
