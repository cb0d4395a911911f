"""Prescriber organisations: what they undertake, where they are told, with which keys; and who is given a review. Pure, no I/O."""
