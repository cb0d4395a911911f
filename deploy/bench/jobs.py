"""Parts of a benchmark that run in a process of their own: a specification goes in, a result comes out, both as JSON files."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import uvloop

from deploy.local.children import Child, ChildDiedError, start_child, until_ready
from deploy.local.data import ROOT

Work = Callable[[Mapping[str, Any], Callable[[], None]], Awaitable[Mapping[str, Any]]]
"""(specification, tell that it is ready) -> result."""
START_PATIENCE = 30.0


@dataclass(frozen=True)
class Job:
    """A job that runs."""

    child: Child
    result: Path

    async def finished(self, patience: float) -> dict[str, Any]:
        """Wait a bounded time for the result; raises what the job died of."""
        try:
            code = await asyncio.wait_for(self.child.ended(), patience)
        except TimeoutError:
            await self.child.kill()
            raise ChildDiedError(self.child, await self.child.ended()) from None
        if code != 0:
            raise ChildDiedError(self.child, code)
        content: dict[str, Any] = json.loads(self.result.read_text())
        return content


async def start_job(module: str, specification: Mapping[str, Any], folder: Path) -> Job:
    """Start a job and wait until it is ready."""
    name = module.rpartition(".")[2]
    place = Path(mkdtemp(dir=folder, prefix=f"{name}-"))
    (place / "specification.json").write_text(json.dumps(specification))
    command = [sys.executable, "-P", "-m", module, str(place)]
    child = await start_child(name, command, place / f"{name}.log", {**os.environ, "PYTHONPATH": str(ROOT)}, ROOT)

    async def ready() -> bool:
        return (place / "ready").exists()

    await until_ready(child, ready, START_PATIENCE)
    return Job(child, place / "result.json")


def do_job(work: Work) -> None:
    """Do the job whose folder is the argument: the main function of a job."""
    place = Path(sys.argv[1])
    specification = json.loads((place / "specification.json").read_text())

    async def whole() -> Mapping[str, Any]:
        return await work(specification, (place / "ready").touch)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(whole())
    (place / "result.json").write_text(json.dumps(result))
