"""`kap test`: the tests, in the project's own environment."""

import os
import subprocess
import sys

import typer

from deploy.local.data import ROOT


def test(context: typer.Context) -> None:
    """Run the tests; everything after it goes to pytest. Paths are those of the project."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", *context.args]
    sys.stdout.flush()
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode)
