"""Run all tests on other Pythons: those of Debian, each in a folder that `debootstrap` makes.

    python tests/pythons.py             # trixie (Python 3.13) and sid (Python 3.14)
    python tests/pythons.py sid

It needs root, Debian's `debootstrap`, and 15 GB in `.pythons/` for each: PyPI's PyTorch brings CUDA.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".pythons"
SUITES = ("trixie", "sid")
MIRROR = "http://deb.debian.org/debian"
# What opencv-python links to, and what the tests of files and processes call.
PACKAGES = "e2fsprogs,python3,python3-dev,python3-venv,ca-certificates,gcc,git,libgl1,libglib2.0-0t64,make,procps"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# In a namespace of its own no mount is left behind, which `make clean` would follow.
OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private")
INSIDE = """
set -e
mount --bind {root} {system}/repo
mount -t proc proc {system}/proc
mount --rbind /dev {system}/dev
exec chroot {system} /bin/bash -ec '
cd /repo
[ -d /venv ] || python3 -m venv /venv
/venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
/venv/bin/python --version
OMP_NUM_THREADS=1 /venv/bin/python -m pytest -n logical --maxprocesses 8 --dist worksteal -m "not slow" -q \
  -p no:cacheprovider --show-capture=no
'
"""


def main() -> int:
    """Run the tests on each; the exit status is 1 where a test failed."""
    statuses = {}
    for suite in sys.argv[1:] or SUITES:
        started = perf_counter()
        status = run(suite)
        statuses[suite] = status
        print(
            f"{suite}: {'passed' if status == 0 else f'failed, exit status {status}'}, {perf_counter() - started:.0f} s"
        )
    return int(any(statuses.values()))


def run(suite: str) -> int:
    """Return the exit status of pytest on the Python of a suite of Debian."""
    system = FOLDER / suite
    if not (system / "made").is_file():
        shutil.rmtree(system, ignore_errors=True)
        system.mkdir(parents=True)
        command = [*OWN_MOUNTS, "debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(system), MIRROR]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name in ("etc/resolv.conf", "etc/hosts"):
            shutil.copy(f"/{name}", system / name)
        if CERTIFICATES.is_file():  # a network may have an authority of its own
            shutil.copy(CERTIFICATES, system / str(CERTIFICATES).lstrip("/"))
        (system / "repo").mkdir()
        (system / "made").touch()
    kept = ("PIP_CERT", "SSL_CERT_FILE", "http_proxy", "https_proxy", "no_proxy")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    script = INSIDE.format(root=ROOT, system=system)
    return subprocess.run([*OWN_MOUNTS, "bash", "-c", script], env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
