"""Run the command `yolo-callbacks` as `python -m yolo_callbacks`, for launchers that start a module."""

from yolo_callbacks.cli.command import main

if __name__ == "__main__":
    raise SystemExit(main())
