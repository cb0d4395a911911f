"""Witnesses are asked to co-sign: each new checkpoint goes to each of them, one request at a time each, beside the signing.

A witness that is down delays nothing: it gets the newest checkpoint once it is back. What it says is believed only where it is signed;
that it has seen a larger ledger, or another one, is an alarm, because then this ledger was put back or forked.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
from pymongo.errors import PyMongoError

from services.audit.checkpoints import Checkpoints, KeptCheckpoint
from services.audit.domain.note import NoteRefused, VerifierKey, read_note, verify_note
from services.audit.domain.proofs import ProofRefused
from services.audit.domain.witnessing import SIZE_TYPE, Submission
from services.audit.proving import prove_consistency
from services.audit.tiles import Inconsistent, KeptTiles
from shared.telemetry.logs import Logger
from shared.telemetry.metrics import Metrics
from shared.transport.ending import asked_to_end
from shared.webhooks.posting import make_socket_factory
from shared.webhooks.resolving import CheckedResolver, SystemLookUp

ASK_EVERY_SECONDS: Final = 0.25
PAUSES_SECONDS: Final = (1.0, 5.0, 15.0, 60.0)
"""After failures in a row; the last one from then on."""
ATTEMPT: Final = aiohttp.ClientTimeout(total=10, connect=5)
ANSWER_LIMIT_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Witness:
    """Where a witness takes checkpoints, and what its co-signatures are verified with."""

    url: str
    key: VerifierKey


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    kind: str
    body: bytes


class _NotCosigned(Exception):
    """The witness did not co-sign; `result` is what is counted."""

    def __init__(self, result: str, why: str) -> None:
        super().__init__(why)
        self.result = result


class Witnessing:
    """Asks one witness for its co-signature of the newest checkpoint, for as long as it runs."""

    def __init__(
        self,
        witness: Witness,
        tiles: KeptTiles,
        checkpoints: Checkpoints,
        metrics: Metrics,
        log: Logger,
        *,
        allow_loopback: bool,
    ) -> None:
        self._witness = witness
        self._tiles = tiles
        self._checkpoints = checkpoints
        self._metrics = metrics
        self._log = log
        self._allow_loopback = allow_loopback
        self._size = 0
        """The last checkpoint that the witness has co-signed, as far as is known."""

    async def run(self) -> None:
        """Ask whenever there is a checkpoint that it has not co-signed, until cancelled."""
        failures = 0
        async with _session(allow_loopback=self._allow_loopback) as session:
            while not asked_to_end():
                try:
                    latest = await self._checkpoints.latest()
                    if latest is not None and latest.size != self._size:
                        await self._have_cosigned(session, latest)
                    failures = 0
                except (_NotCosigned, aiohttp.ClientError, OSError, PyMongoError, Inconsistent, ProofRefused, ValueError) as error:
                    self._failed(error)
                    failures += 1
                pause = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS)) - 1] if failures else ASK_EVERY_SECONDS
                await asyncio.sleep(pause)

    async def _have_cosigned(self, session: aiohttp.ClientSession, latest: KeptCheckpoint) -> None:
        if latest.size < self._size:
            raise _NotCosigned("ahead", "it has co-signed a larger ledger")
        answer = await self._submit(session, latest)
        if answer.status == 409 and answer.kind == SIZE_TYPE:
            self._go_on_from(_read_size(answer.body), latest)
            answer = await self._submit(session, latest)
            if answer.status == 409 and answer.kind == SIZE_TYPE:
                self._go_on_from(_read_size(answer.body), latest)
        if answer.status != 200:
            raise _NotCosigned("refused", f"it answered {answer.status}")
        await self._checkpoints.add_cosignature(latest.size, self._witness.key.name, self._line(latest, answer.body))
        self._size = latest.size
        self._metrics.witnessed(self._witness.key.name, "cosigned")

    def _go_on_from(self, known: int, latest: KeptCheckpoint) -> None:
        """Take note of what the witness says that it has co-signed last."""
        if known > latest.size:
            raise _NotCosigned("ahead", "it has co-signed a larger ledger")
        if known == self._size:
            raise _NotCosigned("refused", "it has co-signed another ledger of the same size")
        self._size = known

    async def _submit(self, session: aiohttp.ClientSession, latest: KeptCheckpoint) -> _Answer:
        proof: Sequence[bytes] = ()
        if 0 < self._size < latest.size:
            proof = await prove_consistency(self._tiles, self._size, latest.size)
        body = Submission(self._size, tuple(proof), read_note(latest.note.encode())).to_bytes()
        async with session.post(f"{self._witness.url}/add-checkpoint", data=body, allow_redirects=False) as response:
            return _Answer(response.status, response.content_type, await _read(response))

    def _line(self, latest: KeptCheckpoint, body: bytes) -> str:
        """Return the witness's line of the answer, verified; lines of keys that are not known are left out."""
        try:
            note = read_note(latest.note.encode() + body)
            if not verify_note(note, (self._witness.key,)):
                raise _NotCosigned("failed", "the answer has no signature of its key")
        except NoteRefused as refused:
            raise _NotCosigned("failed", refused.reason) from None
        own = (self._witness.key.name, self._witness.key.id)
        return next(str(signature) for signature in note.signatures if (signature.name, signature.id) == own)

    def _failed(self, error: Exception) -> None:
        result = error.result if isinstance(error, _NotCosigned) else "failed"
        self._metrics.witnessed(self._witness.key.name, result)
        why = str(error) if isinstance(error, _NotCosigned) else type(error).__name__
        # One that is down is looked into in time; one that has seen another ledger, at once.
        level = self._log.warning if result == "failed" else self._log.error
        level("a witness did not co-sign", witness=self._witness.key.name, result=result, because=why)


@asynccontextmanager
async def _session(*, allow_loopback: bool) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(SystemLookUp(), allow_loopback=allow_loopback),
        socket_factory=make_socket_factory(allow_loopback=allow_loopback),
    )
    async with aiohttp.ClientSession(
        connector=connector, timeout=ATTEMPT, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, headers={"User-Agent": "kapcare"}
    ) as session:
        yield session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = b""
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_LIMIT_BYTES:
            raise _NotCosigned("failed", "its answer is too large")
    return content


def _read_size(body: bytes) -> int:
    text = body.decode("ascii", "replace").removesuffix("\n")
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise _NotCosigned("failed", "the size in its answer cannot be read")
    return int(text)
