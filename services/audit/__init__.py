"""The ledger: every event of every service, kept once, in one append-only order with a Merkle root.

Owns: the order of entries, and the proof that none is missing.
Takes no commands and publishes nothing. Reacts to every event of every topic in the same way: it keeps the bytes.
Answers auditors: queries by case, patient pseudonym, clinic, actor, type and time; exports; verification.
It holds no case keys: it keeps sealed bytes and clear envelopes, and can read no clinical value.
"""
