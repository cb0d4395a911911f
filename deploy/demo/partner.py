"""An outside prescriber organisation: `python -m deploy.demo.partner FOLDER`.

It shares nothing with the network but the protocol: it verifies webhooks with the `standardwebhooks` package, asks for
the review with its own token, decides by rules of its own, and answers with a webhook signed by its own ed25519 key.
What it took in is on disk before it says so; a decision keeps its webhook-id and bytes until it is taken.
"""

import argparse
import asyncio
import base64
import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook, WebhookVerificationError

from deploy.demo.judgement import decide, is_mislaid

SLUG: Final = "north-ketamine-medical"
PRESCRIBER: Final = "np-11"
LONGEST_PAUSE_SECONDS: Final = 2.0
STOPPED: Final = frozenset({"safety-hold", "consent-missing", "consent-withdrawn", "consent-does-not-cover"})
"""Nothing may be decided for now; the clinic asks again when it may."""
TABLES: Final = """
create table if not exists reviews (
  webhook_id text primary key, case_id text not null, request integer not null, sent_at text not null,
  state text not null check (state in ('taken', 'aside', 'decided', 'closed')),
  attempt integer not null default 1, decision blob, outcome text
);
create table if not exists refusals (at real not null, reason text not null);
"""


class Desk:
    """The organisation's own records: what came in and how far it is."""

    def __init__(self, file: Path) -> None:
        self._rows = sqlite3.connect(file, isolation_level=None)
        self._rows.row_factory = sqlite3.Row
        self._rows.executescript(TABLES)

    def take(self, webhook_id: str, message: Mapping[str, Any]) -> None:
        """Keep a webhook; the same one again changes nothing."""
        data = message["data"]
        sql = "insert or ignore into reviews (webhook_id, case_id, request, sent_at, state) values (?, ?, ?, ?, 'taken')"
        self._rows.execute(sql, (webhook_id, data["case"], data["request"], message["timestamp"]))

    def refuse(self, reason: str) -> None:
        """Note a webhook that was not proven to come from the network."""
        self._rows.execute("insert into refusals values (?, ?)", (time.time(), reason))

    def decide(self, webhook_id: str, decision: bytes) -> None:
        """Keep a decision: these bytes are sent until they are taken."""
        self._rows.execute("update reviews set state = 'decided', decision = ? where webhook_id = ?", (decision, webhook_id))

    def close(self, webhook_id: str, outcome: str) -> None:
        """The network has the decision, or wants none."""
        self._rows.execute("update reviews set state = 'closed', outcome = ? where webhook_id = ?", (outcome, webhook_id))

    def put_aside(self, webhook_id: str) -> None:
        """Leave a review until the network asks again; a decision on it is then another message."""
        sql = "update reviews set state = 'aside', decision = null, attempt = attempt + 1 where webhook_id = ?"
        self._rows.execute(sql, (webhook_id,))

    def in_hand(self) -> list[sqlite3.Row]:
        """Return what is to be worked on."""
        return self._rows.execute("select * from reviews where state in ('taken', 'decided')").fetchall()

    def status(self) -> dict[str, Any]:
        """Return what an observer may know: no clinical value."""
        reviews = self._rows.execute("select * from reviews").fetchall()
        known: dict[str, int] = {}
        for row in reviews:
            known[row["case_id"]] = max(row["request"], known.get(row["case_id"], 0))
        return {
            "in_hand": len(self.in_hand()),
            "known": known,
            "verified": len(reviews),
            "refused": self._rows.execute("select count(*) from refusals").fetchone()[0],
            "outcomes": [row["outcome"] for row in reviews if row["outcome"] is not None],
        }


class Office:
    """Takes webhooks and works on them one after the other."""

    def __init__(self, folder: Path) -> None:
        identity = json.loads((folder / "identity.json").read_text())
        network = json.loads((folder / "network.json").read_text())
        self.port: int = identity["port"]
        self._webhook = Webhook(identity["webhook_secret"])
        self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(identity["signing_seed"]))
        self._url: str = network["prescriber_url"]
        self._token: str = network["token"]
        self._desk = Desk(folder / "desk.sqlite")
        self._woken = asyncio.Event()
        self._under_way: set[str] = set()

    async def run(self) -> None:
        """Serve and work, for ever."""
        app = web.Application()
        app.add_routes([web.post("/webhooks", self.take), web.get("/status", self.show_status)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session, asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                for row in self._desk.in_hand():
                    if row["webhook_id"] not in self._under_way:
                        self._under_way.add(row["webhook_id"])
                        group.create_task(self._work_on(session, row))
                await self._woken.wait()

    async def take(self, request: web.Request) -> web.Response:
        """Verify a webhook over its raw bytes, keep it, and say so."""
        try:
            message = self._webhook.verify(await request.read(), dict(request.headers))
        except WebhookVerificationError as error:
            self._desk.refuse(str(error))
            return web.Response(status=401)
        if message["type"] == "kapcare.review.assigned":
            self._desk.take(request.headers["webhook-id"], message)
            self._woken.set()
        return web.Response(status=204)

    async def show_status(self, _request: web.Request) -> web.Response:
        """Say how much is in hand."""
        return web.json_response(self._desk.status())

    async def _work_on(self, session: aiohttp.ClientSession, row: sqlite3.Row) -> None:
        pause = 0.1
        while not await self._step(session, row):
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._under_way.discard(row["webhook_id"])
        self._woken.set()

    async def _step(self, session: aiohttp.ClientSession, row: sqlite3.Row) -> bool:
        """Read, decide and send; False if it must be tried again."""
        try:
            body: bytes | None = row["decision"]
            if body is None:
                body = await self._decide(session, row)
            return body is None or await self._send(session, row, body)
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _decide(self, session: aiohttp.ClientSession, row: sqlite3.Row) -> bytes | None:
        """Return the decision, kept on disk first; None if there is nothing to decide now."""
        given = {"Authorization": f"Bearer {self._token}"}
        async with session.get(f"{self._url}/partner/reviews/{row['case_id']}", headers=given) as response:
            review = await response.json(content_type=None)
            problem = _problem_of(review)
        if response.status >= 500 or problem == "inbox-waits":
            raise aiohttp.ClientError
        if (response.status == 409 and problem in STOPPED) or (not problem and is_mislaid(review)):
            self._desk.put_aside(row["webhook_id"])
            return None
        if problem or review["request"] != row["request"]:
            self._desk.close(row["webhook_id"], problem or "superseded")
            return None
        decision = {"case": row["case_id"], "prescriber": PRESCRIBER, **decide(review, row["sent_at"])}
        message = {"type": "review.decided", "timestamp": row["sent_at"], "data": decision}
        body = json.dumps(message, separators=(",", ":")).encode()
        self._desk.decide(row["webhook_id"], body)
        return body

    async def _send(self, session: aiohttp.ClientSession, row: sqlite3.Row, body: bytes) -> bool:
        """Send the decision; False on a failure that may pass: the same id and body are sent again."""
        identity = f"decision-{row['webhook_id']}-{row['attempt']}"
        timestamp = str(int(time.time()))
        signature = base64.b64encode(self._key.sign(f"{identity}.{timestamp}.".encode() + body)).decode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1a,{signature}",
        }
        async with session.post(f"{self._url}/partners/{SLUG}/decisions", data=body, headers=headers) as response:
            answer = await response.json(content_type=None)
        problem = _problem_of(answer)
        if response.status >= 500 or problem == "inbox-waits":
            return False
        if problem == "refused-by-rule" and any(refusal.get("because") in STOPPED for refusal in answer["refusals"]):
            self._desk.put_aside(row["webhook_id"])
        else:
            self._desk.close(row["webhook_id"], problem or json.loads(body)["data"]["decision"])
        return True


def _problem_of(answer: Mapping[str, Any]) -> str:
    """Return the stable name of a problem; nothing if there is none."""
    return str(answer.get("type", "")).rpartition(":")[2]


def main() -> None:
    """Run the organisation's office."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    asyncio.run(Office(parser.parse_args().folder).run())


if __name__ == "__main__":
    main()
