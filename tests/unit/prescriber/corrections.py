"""What the tests of corrections of the ledger share."""

from datetime import timedelta
from typing import Any

import pytest

from services.prescriber.domain.state import Case
from shared.events.base import CorrectionKind
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import NOW, context

KINDS: tuple[CorrectionKind, ...] = ("entered_in_error", "amended", "wrong_patient")
USED = "used-above-dispensed"
WITHOUT = "dispensed-without-prescription"
ABOVE = "dispensed-above-prescribed"


def at(number: int, hours: float = 0, **changed: Any) -> Context:
    """The context of a cause of its own."""
    return context(now=NOW + timedelta(hours=hours), seed=f"http:test/cause-{number}", **changed)


def sums(case: Case) -> tuple[int, int, int, int]:
    """Prescribed, dispensed, used, on hand."""
    balance = case.supply.balance
    return int(balance.prescribed), int(balance.dispensed), int(balance.used), int(balance.on_hand)


def refused(call: Any, *given: Any, **more: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        call(*given, **more)
    return refusal.value
