"""Runs kap_verify.py, the program that stands alone, as an auditor would: in a process of its own that sees nothing of this project."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from deploy.local.data import ROOT
from deploy.local.failure import StackError

PROGRAM: Final = ROOT / "services" / "audit" / "kap_verify.py"


async def verify(command: str, what: Path, key: str, witnesses: Sequence[str] = (), **options: Path | None) -> dict[str, Any]:
    """Return its verdict: `verdict` is "holds", "does not hold" or "cannot be read", `message` says it in sentences."""
    words = [command, str(what), "--key", key, "--json"]
    for witness in witnesses:
        words += ["--witness", witness]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(PROGRAM), *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    try:
        verdict: dict[str, Any] = json.loads(said)
    except ValueError:
        raise StackError(f"the verifier failed: {errors.decode(errors='replace').strip()[-300:]}") from None
    return verdict
