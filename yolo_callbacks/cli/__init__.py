"""Provide the command `yolo-callbacks`."""
