"""Decide from numbers: each rule returns a decision with its reason. No ultralytics, no torch, no files."""
