"""A witness of a ledger (C2SP tlog-witness), for a partner or an auditor to run: what it has co-signed cannot be taken back unseen."""
