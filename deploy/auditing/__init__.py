"""What an auditor does with a ledger from outside: take it along as files, and have it verified by the program that stands alone.

`go` is a second verifier, which shares no code with the first.
"""
