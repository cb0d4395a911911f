"""The commit log: a decision is one document, which is state, outbox, inbox and audit record at once."""
