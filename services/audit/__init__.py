"""The ledger: every event of every service, kept once, in one append-only order that is a transparency log.

Owns: the order of entries, the tiles of its Merkle tree, and the signed checkpoints that auditors and witnesses hold it to.
Takes no commands and publishes nothing. Reacts to every event of every topic in the same way: it keeps the bytes.
Answers auditors: questions about everything that clear envelopes say, counts, what was known at a decision; exports with proofs; the
log as static files; verification. It holds no case keys: it keeps sealed bytes and clear envelopes, and can read no clinical value.

domain/            pure: entries, tree, tiles, proofs, notes and checkpoints of the log; queries, and what is found by what
reactions.py       the one reaction: keep every event
ledger.py          entries, appended in one order
tiles.py, checkpoints.py, signing.py   what is kept of the tree, and the signer that goes on from it
witnesses.py       asking witnesses to co-sign
reading.py, questions.py   finding entries; the routes that answer
renderings.py, audit_events.py   entries as rows, CSV and AuditEvents
proving.py, proved_export.py, log_routes.py   proofs, exports with them, the log over HTTP
verify.py          the ledger's own verification, and the heads of the services
kap_verify.py      the program that verifies it without trusting it: one file, the standard library alone
api.py, app.py     the routes under /ledger; how the parts make a process
"""
