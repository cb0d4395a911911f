"""The keys under which each case's events, state and parked bytes are sealed; destroying a key silences the case."""

from shared.vault.port import CaseKey, KeyMissing, Vault

__all__ = ["CaseKey", "KeyMissing", "Vault"]
