"""Runs the book's build script, for the tests of the book."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the build script of the book at `root` in the environment of the tests."""
    environment = {**os.environ, "VENV": sys.prefix}
    environment.pop("READTHEDOCS_OUTPUT", None)
    return subprocess.run(
        [".ci/build-book", *arguments], cwd=root, env=environment, capture_output=True, text=True
    )
