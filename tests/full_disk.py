"""A disk that is full, in a mount namespace of its own."""

import os
import subprocess
from pathlib import Path

import pytest


def on_a_full_disk(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script with `folder` on a disk of 64 KiB, in a mount namespace of its own.

    In the script `fill` fills the disk. Skips the test where that is not allowed.
    """
    probe = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip("unshare --mount is not allowed here")
    prelude = (
        'mount -t tmpfs -o size=64k tmpfs "$0" || exit 99; mkdir "$0/runs" "$0/logs";'
        'fill() { cat /dev/zero >"$FOLDER/filler" 2>/dev/null; :; };'
    )
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", prelude + script]
    return subprocess.run(
        [*unshare, str(folder), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "FOLDER": str(folder)},
    )
