"""`kap test`: the tests, in the project's own environment."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import typer

from deploy.local.data import ROOT

AT_ONCE = 2
"""Tests wait more than they work: for a lease to end, for a broker to let a consumer in."""


def test(context: typer.Context) -> None:
    """Run the tests; everything after it goes to pytest. Paths are those of the project."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", *workers(context.args, os.environ), *context.args]
    sys.stdout.flush()
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode)


def workers(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return what has several processes share the tests: where all are run, and nobody wants to talk with the debugger.

    Only options with two dashes are known to choose none of them. With a path, or any other option, they run in one process, which
    begins sooner; so do all where a store is named, in which one test alone can let commands fail.
    """
    whole = all(argument.startswith("--") and argument not in ("--pdb", "--trace") for argument in arguments)
    return [f"--numprocesses={AT_ONCE}"] if whole and "KAPCARE_TEST_MONGO_URL" not in environment else []
