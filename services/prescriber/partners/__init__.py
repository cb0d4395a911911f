"""The traffic with prescriber organisations: who they are, what they are told, what they send, what they may ask for."""
