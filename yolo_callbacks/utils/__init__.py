"""Provide what all other folders use: files, arguments, signals and secrets. Nothing here knows a training."""
