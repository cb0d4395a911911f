"""The witness over HTTP: `POST /add-checkpoint`. One submission at a time is decided, and kept before it is answered."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from deploy.witness.record import Record
from services.audit.domain.note import VerifierKey, cosign
from services.audit.domain.witnessing import SIZE_TYPE, Cosign, MalformedSubmission, Refuse, Submission, decide, read_submission

BODY_LIMIT_BYTES: Final = 65_536
SHUTDOWN_SECONDS: Final = 2.0

Say = Callable[[str], None]


class Witness:
    """Decides on submissions of the logs that it knows."""

    def __init__(self, record: Record, logs: Sequence[VerifierKey], say: Say) -> None:
        self._record = record
        self._logs: Mapping[str, Sequence[VerifierKey]] = {
            name: [key for key in logs if key.name == name] for name in {key.name for key in logs}
        }
        self._say = say
        self._deciding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="witness")

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_post("/add-checkpoint", self.add_checkpoint)
        return app

    async def add_checkpoint(self, request: web.Request) -> web.Response:
        """Co-sign a checkpoint, or say why not."""
        try:
            submission = read_submission(await request.read())
        except MalformedSubmission as malformed:
            return web.Response(status=400, text=f"{malformed.reason}\n")
        # One thread does it all, also if the caller hangs up: what is decided on and what is on the disk are never two things.
        verdict = await asyncio.get_running_loop().run_in_executor(self._deciding, self._decide, submission)
        return self._cosign(verdict) if isinstance(verdict, Cosign) else self._refuse(verdict)

    def _decide(self, submission: Submission) -> Cosign | Refuse:
        verdict = decide(submission, self._logs, self._record.last)
        if isinstance(verdict, Cosign) and self._record.last.get(verdict.checkpoint.origin) != verdict.checkpoint:
            self._record.keep(verdict.checkpoint)
        return verdict

    def _refuse(self, verdict: Refuse) -> web.Response:
        # Anyone may send another old size; the rest is a log that does what it should not, or somebody in its name.
        if verdict.reason != "another-old-size":
            self._say(f"refused ({verdict.status}): {verdict.reason}")
        if verdict.size is not None:
            return web.Response(status=verdict.status, text=f"{verdict.size}\n", content_type=SIZE_TYPE)
        return web.Response(status=verdict.status, text=f"{verdict.reason}\n")

    def _cosign(self, verdict: Cosign) -> web.Response:
        line = cosign(verdict.text, self._record.name, self._record.private, int(time.time()))
        self._say(f"co-signed {verdict.checkpoint.origin} at {verdict.checkpoint.size} entries")
        return web.Response(text=str(line))


@asynccontextmanager
async def serving(witness: Witness, host: str, port: int) -> AsyncIterator[str]:
    """Serve the witness; yields its URL. Port 0 is any."""
    runner = web.AppRunner(witness.app(), shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound, actual = runner.addresses[0][:2]
        yield f"http://{bound}:{actual}"
    finally:
        await runner.cleanup()
