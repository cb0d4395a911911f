"""The ledger as a transparency log over HTTP: the checkpoint for everyone, and for auditors the tiles, the entries and proofs."""

import asyncio
import base64
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

import services.audit
from services.audit.checkpoints import Checkpoints, KeptCheckpoint
from services.audit.domain.tiles import BundlePlace, MalformedTile, TilePlace, read_path
from services.audit.parameters import read_number, read_parameters
from services.audit.proving import prove_consistency, prove_inclusion
from services.audit.tiles import Inconsistent, KeptTiles
from shared.access.decide import Permission
from shared.http.callers import admit, authenticate
from shared.http.problems import Problem
from shared.service.runtime import Runtime

VERIFIER: Final = Path(services.audit.__file__).with_name("kap_verify.py")
NEVER_CHANGES: Final = {"Cache-Control": "private, max-age=31536000, immutable"}
CHANGES: Final = {"Cache-Control": "no-cache"}

Made = TypeVar("Made")


class LogRoutes:
    """The routes of the transparency log, under /ledger."""

    def __init__(self, runtime: Runtime, tiles: KeptTiles, checkpoints: Checkpoints) -> None:
        self._runtime = runtime
        self._tiles = tiles
        self._checkpoints = checkpoints

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/ledger", tags=["ledger"])
        for path, endpoint in (
            ("/tlog/checkpoint", self.checkpoint),
            ("/tlog/{path:path}", self.tile),
            ("/proofs/inclusion", self.inclusion),
            ("/proofs/consistency", self.consistency),
            ("/kap_verify.py", self.verifier),
        ):
            router.add_api_route(path, endpoint, methods=["GET"], response_model=None)
        return router

    async def checkpoint(self, request: Request) -> Response:
        """Return the newest signed checkpoint, for everyone; with `cosigned=true` the newest that a witness co-signed."""
        asked = read_parameters(request, {"cosigned"}).get("cosigned", "false")
        if asked not in ("true", "false"):
            raise Problem(422, "parameter", "`cosigned` is true or false.")
        found = await newest(self._checkpoints, cosigned=asked == "true")
        return Response(found.text, media_type="text/plain", headers=CHANGES)

    async def tile(self, request: Request) -> Response:
        """Return a tile of hashes, or a bundle of entries, by its path in the tiled log."""
        await self._admit(request)
        try:
            place = read_path(request.path_params["path"])
        except MalformedTile:
            raise NO_SUCH_TILE from None
        size = (await newest(self._checkpoints)).size
        if not _lies_within(place, size):
            raise NO_SUCH_TILE
        content = await _consistent(self._content(place))
        return Response(content, media_type="application/octet-stream", headers=NEVER_CHANGES)

    async def inclusion(self, request: Request) -> Response:
        """Return the proof that the tree of `size` entries (the newest checkpoint's, if not given) has the entry `index`."""
        await self._admit(request)
        given = read_parameters(request, {"index", "size"})
        last = await newest(self._checkpoints)
        index, size = read_number(given.get("index"), "index"), read_number(given.get("size"), "size", last.size)
        _check(index < size <= last.size, "`index` must lie below `size`, and `size` not above that of the newest checkpoint.")
        proof = await _consistent(prove_inclusion(self._tiles, index, size))
        return _proof({"index": index, "size": size}, proof)

    async def consistency(self, request: Request) -> Response:
        """Return the proof that the tree of `to` entries (the newest checkpoint's, if not given) begins with that of `from`."""
        await self._admit(request)
        given = read_parameters(request, {"from", "to"})
        last = await newest(self._checkpoints)
        old, new = read_number(given.get("from"), "from"), read_number(given.get("to"), "to", last.size)
        _check(0 < old <= new <= last.size, "`from` must be from 1 to `to`, and `to` not above the size of the newest checkpoint.")
        proof = await _consistent(prove_consistency(self._tiles, old, new))
        return _proof({"from": old, "to": new}, proof)

    async def verifier(self, _request: Request) -> Response:
        """Return the program with which an auditor verifies the log, for everyone: one file, the standard library alone."""
        return Response(await asyncio.to_thread(VERIFIER.read_bytes), media_type="text/x-python", headers=CHANGES)

    async def _content(self, place: TilePlace | BundlePlace) -> bytes:
        if isinstance(place, BundlePlace):
            return await self._tiles.bundle(place)
        return (await self._tiles.read([place]))[place].to_bytes()

    async def _admit(self, request: Request) -> None:
        admit(request, await authenticate(self._runtime, request), Permission.QUERY_LEDGER)


async def newest(checkpoints: Checkpoints, *, cosigned: bool = False) -> KeptCheckpoint:
    """Return the newest checkpoint; raises Problem 404 while there is none."""
    found = await checkpoints.latest(cosigned=cosigned)
    if found is None:
        raise Problem(404, "no-checkpoint", "No such checkpoint was signed yet; ask again in a moment.")
    return found


NO_SUCH_TILE: Final = Problem(404, "no-such-tile", "The tree of the newest checkpoint has no such tile.")


async def _consistent(work: Awaitable[Made]) -> Made:
    try:
        return await work
    except Inconsistent:
        raise Problem(503, "ledger-inconsistent", "What is kept does not give this; an operator must look at the ledger.") from None


def _lies_within(place: TilePlace | BundlePlace, size: int) -> bool:
    level = 0 if isinstance(place, BundlePlace) else place.level
    return place.index * 256 + place.width <= size >> 8 * level


def _check(holds: bool, words: str) -> None:
    if not holds:
        raise Problem(422, "parameter", words)


def _proof(about: dict[str, int], proof: Sequence[bytes]) -> Response:
    return Response(to_json({**about, "proof": [base64.b64encode(one).decode() for one in proof]}), media_type="application/json")
