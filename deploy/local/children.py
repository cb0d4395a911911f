"""Child processes that log to a file, are watched, and end with the process that started them."""

import asyncio
import os
import re
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import die_with_parent
from deploy.local.failure import StackError

STOP_PATIENCE = 15.0
POLL_INTERVAL = 0.03


class ChildDiedError(StackError):
    """A child ended although nobody asked it to."""

    def __init__(self, child: "Child", code: int) -> None:
        self.name = child.name
        self.code = code
        super().__init__(f"{child.name} {ending(code)}\n{child.last_lines()}".rstrip())


@dataclass(frozen=True)
class Child:
    """One running child process."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    telling: re.Pattern[str] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    async def ended(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        return await self.process.wait()

    async def died(self) -> ChildDiedError:
        """Wait for an end nobody asked for, and describe it."""
        return ChildDiedError(self, await self.ended())

    async def stop(self, patience: float = STOP_PATIENCE) -> int:
        """Ask it to end, wait a bounded time, then kill it."""
        if self.running:
            self.process.terminate()
        try:
            return await asyncio.wait_for(self.process.wait(), patience)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it with SIGKILL."""
        if self.running:
            self.process.kill()
        return await self.process.wait()

    def last_lines(self, count: int = 12) -> str:
        """The end of its log, indented, to stand below an error."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 16_384))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        telling = [line for line in lines if self.telling and self.telling.search(line)]
        chosen = (telling or lines)[-count:]
        return "\n".join([f"  the end of {self.log}:", *(f"  | {line[:400]}" for line in chosen)]) if chosen else ""


def ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"


async def start_child(
    name: str,
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    telling: re.Pattern[str] | None = None,
) -> Child:
    """Start a child whose output goes to `log`. On Linux it is killed when this process ends, however it ends.

    `telling` matches the lines of its log that say why it died, where the last ones do not.
    """
    # The parent-death signal fires when the *thread* that started the child ends, so only the main thread will do.
    if threading.current_thread() is not threading.main_thread():
        raise StackError(f"{name} must be started from the main thread")
    log.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *command]
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=directory,
            # Ctrl-C in a terminal reaches the whole process group; the stack stops its children itself, in order.
            start_new_session=True,
        )
    return Child(name, process, log, telling)


async def until_ready(child: Child, ready: Callable[[], Awaitable[bool]], patience: float) -> None:
    """Wait until `ready` says so. A child that dies or takes too long is ended and reported with the end of its log."""
    death = asyncio.ensure_future(child.ended())
    try:
        async with asyncio.timeout(patience):
            while not death.done():
                if await ready():
                    return
                await asyncio.wait([death], timeout=POLL_INTERVAL)
    except TimeoutError:
        await child.kill()
        raise StackError(f"{child.name} was not ready within {patience:.0f} s\n{child.last_lines()}") from None
    except BaseException:
        await child.kill()
        raise
    finally:
        death.cancel()
    raise ChildDiedError(child, await child.ended())


def plain_environment() -> dict[str, str]:
    """What a program that is not ours needs of this process's environment, and nothing else."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME") if name in os.environ}
