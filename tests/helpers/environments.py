"""An environment of its own with the wheel installed, for tests of what only an installation does."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainings import FAST, TINY

ROOT = Path(__file__).parents[2]

# As pip writes it for the entry point of Ultralytics.
_YOLO = "import sys\nfrom ultralytics.cfg import entrypoint\nif __name__ == '__main__':\n    sys.exit(entrypoint())\n"


def arguments(**overrides: Any) -> list[str]:
    """Arguments of `yolo train` for a training of an epoch."""
    return [f"{name}={value}" for name, value in {**FAST, "model": TINY, "epochs": 1, **overrides}.items()]


def wheel(project: Path, folder: Path, kind: str = "wheel") -> Path:
    """Build the wheel of a project: from its files, as `"editable"`, or from its source distribution, `"sdist"`."""
    from hatchling import build  # not on every machine with a GPU

    if kind == "sdist":
        sources = wheel(project, folder, kind="source")
        shutil.unpack_archive(sources, folder)
        return wheel(folder / sources.name.removesuffix(".tar.gz"), folder)
    before = Path.cwd()
    os.chdir(project)
    try:
        named = {"wheel": build.build_wheel, "editable": build.build_editable, "source": build.build_sdist}
        return folder / named[kind](str(folder))
    finally:
        os.chdir(before)


def source_distribution() -> set[str]:
    """The files of the source distribution, by their paths in it."""
    from hatchling.builders.sdist import SdistBuilder

    return {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}


@dataclass(frozen=True)
class Environment:
    """A virtual environment that has our wheel, and sees what this interpreter has of everything else."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Environment:
        """Without our package yet."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        found = cls(folder)
        needed = [importlib.util.find_spec(name) for name in ("torch", "ultralytics", "yaml", "wandb", "cloudpickle")]
        others = sorted({str(Path(spec.origin).parent.parent) for spec in needed if spec and spec.origin})
        # named in a .pth their own .pth files, such as that of an editable install of ours, do not run
        (found.packages / "others.pth").write_text("\n".join(others))
        (folder / "bin" / "yolo").write_text(f"#!{found.python}\n{_YOLO}")
        (folder / "bin" / "yolo").chmod(0o755)
        return found

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        return next((self.folder / "lib").glob("python*/site-packages"))

    def pip(self, *command: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, *command], check=True)

    def install(self, *wheels: Path) -> None:
        self.pip("install", "--no-deps", "--no-index", *map(str, wheels))

    def ours(self) -> set[str]:
        """The files and folders of our package, and of its metadata."""
        return {path.name for path in self.packages.iterdir() if "yolo_callbacks" in path.name}

    def run(self, *command: str, cwd: Path, callbacks: str | None = None, **more: str) -> subprocess.CompletedProcess:
        """Run one of its commands, or `python`, with YOLO_CALLBACKS set or not."""
        variables = {**os.environ, **more, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        for name in ("YOLO_CALLBACKS", "WANDB_SERVICE"):  # the service of this process may end before the command
            variables.pop(name, None)
        if callbacks is not None:
            variables["YOLO_CALLBACKS"] = callbacks
        path = str(self.folder / "bin" / command[0])
        return subprocess.run([path, *command[1:]], cwd=cwd, env=variables, capture_output=True, text=True, check=False)

    def script(self, text: str, *, cwd: Path, callbacks: str, **overrides: Any) -> str:
        """Run a script, which has a model in `TINY`, arguments in `arguments`, and must succeed; what it printed."""
        file = cwd / "script.py"
        given = {**FAST, "epochs": 1, **{name: str(value) for name, value in overrides.items()}}
        file.write_text(f"TINY = {TINY!r}\narguments = {given}\n{textwrap.dedent(text)}")
        done = self.run("python", str(file), cwd=cwd, callbacks=callbacks)
        assert done.returncode == 0, done.stderr
        return done.stdout


THIRD_PARTY = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"

        [project]
        name = "tally"
        version = "1.0"

        [project.entry-points.yolo_callbacks]
        Tally = "tally:Tally"
        """,
    "tally.py": '''
        from yolo_callbacks import Callback


        class Tally(Callback):
            """Write a line for every training.

            Args:
                file: Where to.
            """

            def __init__(self, file: str, *, lines: int = 1) -> None:
                self.file, self.lines = file, lines

            def on_train_start(self, trainer):
                with open(self.file, "a") as file:
                    file.write(f"{trainer.save_dir}\\n" * self.lines)
        ''',
}


def third_party(folder: Path) -> Path:
    """The wheel of a package that offers a callback through its entry point."""
    folder.mkdir()
    for name, text in THIRD_PARTY.items():
        (folder / name).write_text(textwrap.dedent(text))
    return wheel(folder, folder)
