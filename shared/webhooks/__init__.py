"""Webhooks to and from partner organisations: who signed, and where we may call."""
