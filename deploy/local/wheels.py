"""Programs that come inside wheels."""

import importlib.util
import os
from pathlib import Path

from deploy.local.failure import UnavailableError


def program_in_wheel(package: str, inside: str) -> Path | None:
    """The executable at a path inside a top-level package, found without importing it; None where it is not installed."""
    specification = importlib.util.find_spec(package)
    if specification is None:
        return None
    for folder in specification.submodule_search_locations or ():
        program = Path(folder, inside)
        if program.is_file():
            return _executable(program)
    return None


def _executable(program: Path) -> Path:
    # Some installers drop the execute bit of files that are package data.
    if not os.access(program, os.X_OK):
        try:
            program.chmod(program.stat().st_mode | 0o755)
        except OSError as error:
            raise UnavailableError(f"{program} cannot be made executable: {error.strerror}") from None
    return program
