"""The states, districts and territories of the United States in which prescribers are licensed, by postal code."""

from typing import Final

_CODES: Final = """
    AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX
    UT VT VA WA WV WI WY DC AS GU MP PR VI
"""
STATES: Final = frozenset(_CODES.split())
"""Postal codes (USPS Publication 28, appendix B), without those of the armed forces and of states in free association."""
