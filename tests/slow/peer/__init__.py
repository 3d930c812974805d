"""Run Ultralytics' own training tests with our callbacks plugged in; `run.py` says how."""
