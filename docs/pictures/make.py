"""Make the pictures of the README from a real training: `make pictures`.

It trains on the photographs in `datasets/trees` with `docs/pictures/train.py`, records the terminal, and takes
screenshots of the report. It needs Chromium or Chrome, and four to eight minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from terminal import Event, frames_of, record, svg, typed

from yolo_callbacks.utils.demo_data import copy_trees

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH, HEIGHT = 1600, 1050
SECONDS = 18.0  # of the training in the animation
LARGEST = 140_000  # bytes
TITLE = "A training with yolo-callbacks in a terminal: the script, the epochs, and the table at the end"


def main() -> None:
    """Train, and write the pictures into a folder."""
    parser = argparse.ArgumentParser(description="Make the pictures of the README from a real training.")
    parser.add_argument("--folder", type=Path, default=HERE, help="where to write (default: docs/pictures)")
    folder = parser.parse_args().folder
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"screenshots need one of {', '.join(BROWSERS)} in PATH")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="yolo-") as temporary:
        work = Path(temporary)
        events = training(work)
        report = next(work.rglob("report.html"))
        for scheme in ("light", "dark"):
            written(folder / f"report-{scheme}.png", screenshot(browser, report, scheme))
    written(folder / "training.svg", animation(events))


def training(work: Path) -> list[Event]:
    """Train in a folder as a user would, and return what the terminal showed."""
    shutil.copy(HERE / "train.py", work)
    copy_trees(work / "trees")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "YOLO_CONFIG_DIR": str(work / "settings"),  # the settings of the user stay as they are
        "YOLO_OFFLINE": "true",
    }
    settings = "from ultralytics import settings; settings.update(runs_dir='runs', wandb=False)"
    subprocess.run([sys.executable, "-c", settings], cwd=work, env=environment, check=True, capture_output=True)
    events = list[Event]()
    for command in ("cat train.py", "python train.py"):
        events += typed(command)
        try:
            events += record(command.split(), work, environment)
        except subprocess.CalledProcessError as error:
            sys.exit(f"{error}\n{error.output}")
    return [*events, *typed("")[:1]]


def animation(events: list[Event]) -> bytes:
    """Return the animation with as many frames as the largest size allows."""
    for shortest in (0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4):
        content = svg(frames_of(events, SECONDS, shortest=shortest), TITLE).encode()
        if len(content) <= LARGEST:
            break
    return content


def screenshot(browser: str, page: Path, scheme: str) -> bytes:
    """Return the top of a page as a PNG with a palette."""
    target = page.with_name(f"{scheme}.png")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={WIDTH},{HEIGHT + 200}", f"--screenshot={target}"]  # the window has a frame
    command += [f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    picture = Image.open(target).convert("RGB").crop((0, 0, WIDTH, HEIGHT))
    file = io.BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def written(file: Path, content: bytes) -> None:
    """Write a file and print its size."""
    file.write_bytes(content)
    print(f"{file}: {len(content) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
