"""Packages from npm, for tests against software that others made."""

import shutil
import subprocess
from pathlib import Path

import pytest


def install(folder: Path, *packages: str) -> Path:
    """Install packages, given as name@version, into the folder and return it; skip where there is no node or no registry."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not on this machine")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--loglevel=error", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", *packages]
    try:
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not fetch the packages in time")
    if installed.returncode != 0:
        pytest.skip(f"the npm registry was not reached: {installed.stderr.strip().splitlines()[:1]}")
    return folder
