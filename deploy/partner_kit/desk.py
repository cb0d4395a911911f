"""What a partner organisation keeps on disk: what came in, and how far each review is."""

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

TABLES: Final = """
create table if not exists messages (webhook_id text primary key, sequence integer, body_sha256 text);
create table if not exists reviews (
  webhook_id text primary key, case_id text not null, request integer not null, sent_at text not null,
  state text not null check (state in ('taken', 'aside', 'decided', 'closed')),
  attempt integer not null default 1, decision blob, outcome text
);
create table if not exists refusals (at real not null, reason text not null);
"""

Noted = Literal["new", "again", "another body"]


class Desk:
    """The organisation's own records; each change is on disk when its method returns, or the block that holds it together ends."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._rows = sqlite3.connect(file, isolation_level=None)
        self._rows.row_factory = sqlite3.Row
        self._rows.executescript(TABLES)

    def close_file(self) -> None:
        """Let go of the file."""
        self._rows.close()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Keep what is changed inside wholly or not at all: a message is never noted without what follows from it."""
        self._rows.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._rows.execute("rollback")
            raise
        self._rows.execute("commit")

    def note(self, webhook_id: str, sequence: int | None, body: bytes | None) -> Noted:
        """Note a message, with its bytes where it came as a webhook; its id says whether it came before."""
        digest = None if body is None else hashlib.sha256(body).hexdigest()
        known = self._rows.execute("select body_sha256 from messages where webhook_id = ?", (webhook_id,)).fetchone()
        if known is None:
            self._rows.execute("insert into messages values (?, ?, ?)", (webhook_id, sequence, digest))
            return "new"
        if known["body_sha256"] is None:
            self._rows.execute("update messages set body_sha256 = ? where webhook_id = ?", (digest, webhook_id))
        elif digest not in {None, known["body_sha256"]}:
            return "another body"
        return "again"

    def unbroken(self) -> int:
        """Return up to which sequence everything came, from 1 on; 0 if the first is missing."""
        sql = """
          select coalesce(min(sequence), 0) from (select sequence from messages union select 0) as known
          where not exists (select 1 from messages where messages.sequence = known.sequence + 1) and sequence is not null
        """
        return int(self._rows.execute(sql).fetchone()[0])

    def newest(self) -> int:
        """Return the highest sequence that came; 0 before the first."""
        return int(self._rows.execute("select coalesce(max(sequence), 0) from messages").fetchone()[0])

    def take(self, webhook_id: str, message: Mapping[str, Any]) -> None:
        """Keep a review that was assigned; the same webhook again changes nothing."""
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

    def close_case(self, case: str, outcome: str) -> None:
        """The network wants no decision on what is open of this case any more."""
        self._rows.execute("update reviews set state = 'closed', outcome = ? where case_id = ? and state != 'closed'", (outcome, case))

    def put_aside(self, webhook_id: str) -> None:
        """Leave a review until the network asks again; a decision on it is then another message."""
        sql = "update reviews set state = 'aside', decision = null, attempt = attempt + 1 where webhook_id = ?"
        self._rows.execute(sql, (webhook_id,))

    def take_up(self, case: str) -> None:
        """Go on with what was put aside of this case."""
        self._rows.execute("update reviews set state = 'taken' where case_id = ? and state = 'aside'", (case,))

    def in_hand(self) -> list[sqlite3.Row]:
        """Return what is to be worked on."""
        return self._rows.execute("select * from reviews where state in ('taken', 'decided')").fetchall()

    def still_in_hand(self, webhook_id: str) -> sqlite3.Row | None:
        """Return a review as it stands now; None if there is nothing to do on it."""
        sql = "select * from reviews where webhook_id = ? and state in ('taken', 'decided')"
        row: sqlite3.Row | None = self._rows.execute(sql, (webhook_id,)).fetchone()
        return row

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
