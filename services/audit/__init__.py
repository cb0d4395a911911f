"""The ledger: every event of every service, kept once, in one append-only order that is a transparency log.

Owns: the order of entries, the tiles of its Merkle tree, and the signed checkpoints that auditors and witnesses hold it to.
Takes no commands and publishes nothing. Reacts to every event of every topic in the same way: it keeps the bytes.
Answers auditors: queries by case, patient pseudonym, clinic, actor, type and time; exports with proofs; the log as static files;
verification. It holds no case keys: it keeps sealed bytes and clear envelopes, and can read no clinical value.
"""
