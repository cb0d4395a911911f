"""The ledger as a property: whatever moves and whatever of it is corrected, sums and alarms are those of what still counts.

The oracle keeps a plain list of what was said last of each thing, counts it anew after every step, and asks the service nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.prescriber.domain.state import Case
from services.prescriber.reactions import falling_due, table
from shared.events import session
from shared.events.base import EventData
from shared.events.supply import DiversionSuspected, EntryCorrected
from shared.pathway.context import Context
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import NOW, context, nobody, told
from tests.unit.prescriber.moved import (
    approved,
    correct,
    correct_issued,
    dispense,
    dispensing,
    dosed,
    give_back,
    issue,
    prescription,
    returning,
    wastage,
    waste,
)

STATE = TypeAdapter(Case)
START = approved(doses=12)
HEAR = table(nobody)

Kind = Literal["prescribe", "fill", "dose", "waste", "return"]
Step = tuple[str, int, int]
"""What is done, to which of those there are, and how many tens of milligrams, doses or hours."""
steps = st.tuples(
    st.sampled_from(["fill", "fill", "dose", "dose", "waste", "return", "error", "error", "wrong", "amend", "amend", "wait"]),
    st.integers(0, 9),
    st.integers(1, 30),
)


@dataclass
class Said:
    """One thing as it was said last, and whether it still counts."""

    kind: Kind
    name: str
    milligrams: Decimal
    rests_on: int | None = None
    counts: bool = True


@dataclass
class World:
    """One case with two prescriptions, care time, and what was said of it."""

    case: Case = START
    now: datetime = NOW
    said: list[Said] = field(default_factory=list)
    causes: int = 0

    def __post_init__(self) -> None:
        for doses in (2, 3):
            self.record("prescribe", issue(self.case, self.at(), doses=doses), Decimal(100 * doses))

    def at(self) -> Context:
        self.causes += 1
        return context(now=self.now, seed=f"http:test/cause-{self.causes}")

    def gaps(self) -> dict[str, Decimal]:
        """What nothing accounts for, by recount."""
        counting = [each for each in self.said if each.counts]
        fills = [each for each in counting if each.kind == "fill"]
        found = {"dispensed-without-prescription": Decimal(0), "dispensed-above-prescribed": Decimal(0)}
        for place in {each.rests_on for each in fills}:
            filled = sum((each.milligrams for each in fills if each.rests_on == place), Decimal(0))
            if place is None or not self.said[place].counts:
                found["dispensed-without-prescription"] += filled
            else:
                found["dispensed-above-prescribed"] += max(Decimal(0), filled - self.said[place].milligrams)
        used = sum((each.milligrams for each in counting if each.kind in {"dose", "waste", "return"}), Decimal(0))
        found["used-above-dispensed"] = used - sum((each.milligrams for each in fills), Decimal(0))
        return {why: some for why, some in found.items() if some > 0}

    def take(self, events: list[EventData]) -> None:
        """Fold what was decided; each alarm must be true now, and new or larger than what was said."""
        for alarm in events:
            if isinstance(alarm, DiversionSuspected):
                assert alarm.unaccounted == self.gaps()[alarm.why]
                assert alarm.unaccounted > self.case.supply.said.get(alarm.why, 0)
        for event in without_alerts(events):
            self.case = told(self.case, [type(event).model_validate_json(event.model_dump_json())])

    def record(self, kind: Kind, events: list[EventData], milligrams: Decimal, rests_on: int | None = None) -> None:
        self.said.append(Said(kind, name_of(events[0]), milligrams, rests_on))
        self.take(events)

    def step(self, what: str, which: int, size: int) -> None:
        mg = Decimal(size * 10)
        match what:
            case "fill":
                place = which % 3 if which % 3 < 2 else None
                of = "prescription-of-nobody" if place is None else self.said[place].name
                self.record("fill", dispense(self.case, self.at(), of=of, milligrams=str(mg), doses=1), mg, place)
            case "dose":
                self.record("dose", self.dose(mg), mg)
            case "waste":
                self.record("waste", waste(self.case, self.at(), milligrams=str(mg)), mg)
            case "return":
                self.record("return", give_back(self.case, self.at(), milligrams=str(mg)), mg)
            case "wait":
                self.wait(size)
            case _:
                standing = [each for each in self.said if each.counts]
                if standing:
                    self.correct(standing[which % len(standing)], what, size)

    def dose(self, mg: Decimal, replaces: str | None = None) -> list[EventData]:
        event = dosed(str(mg), given_at=self.now, entry=f"entry-dose-{self.causes}", replaces=replaces)
        return HEAR[session.SessionDosed](self.case, event, self.at())

    def correct(self, what: Said, how: str, size: int) -> None:
        kind = {"error": "entered_in_error", "wrong": "wrong_patient", "amend": "amended"}[how]
        name, mg = what.name, Decimal(size * 10)
        replacement: dict[str, Any] = {}
        if how != "amend":
            what.counts = False
        elif what.kind == "prescribe":
            what.milligrams = Decimal(100 * (1 + size % 4))
            replacement = {"replacement": prescription(doses=1 + size % 4)}
        else:
            what.milligrams = mg
            of = "prescription-of-nobody" if what.rests_on is None else self.said[what.rests_on].name
            replacement = {
                "fill": {"dispensing": dispensing(of, milligrams=str(mg), doses=1)},
                "waste": {"wastage": wastage(str(mg))},
                "return": {"returned": returning(str(mg))},
                "dose": {},
            }[what.kind]
        if what.kind == "dose":
            self.correct_dose(what, kind)
            return
        ask = correct_issued if what.kind == "prescribe" else correct
        events = ask(self.case, name, self.at(), kind, **replacement)
        assert isinstance(events[0], EntryCorrected)
        if how == "amend":
            what.name = name_of(events[1])
        self.take(events)

    def correct_dose(self, what: Said, kind: Any) -> None:
        """As the session room says it: the mark, and then the dose that replaces it."""
        event = session.EntryCorrected(entry=what.name, kind=kind, reason="r", corrected_at=self.now, of="dose", session=1)
        marked = HEAR[session.EntryCorrected](self.case, event, self.at())
        assert [type(each) for each in without_alerts(marked)] == [EntryCorrected]
        self.take(marked)
        if kind == "amended":
            again = self.dose(what.milligrams, replaces=what.name)
            what.name = name_of(again[0])
            self.take(again)

    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        for name, due in self.case.supply.deadlines.items():
            if due <= self.now:
                self.take(falling_due(nobody)(self.case, name, self.at()))
        assert all(due > self.now for due in self.case.supply.deadlines.values())

    def holds(self) -> None:
        """Sums, gaps, and what was said are those of the recount; only a dose that waits is still unsaid."""
        balance, supply = self.case.supply.balance, self.case.supply
        counted = (balance.prescribed, balance.dispensed, balance.administered, balance.wasted, balance.returned)
        kinds: tuple[Kind, ...] = ("prescribe", "fill", "dose", "waste", "return")
        assert counted == tuple(sum(each.milligrams for each in self.said if each.kind == kind and each.counts) for kind in kinds)
        gaps = self.gaps()
        assert supply.mismatches == gaps
        assert set(supply.said) <= set(gaps)
        unsaid = {why for why, gap in gaps.items() if supply.said.get(why) != gap}  # type: ignore[call-overload]
        assert unsaid == ({"used-above-dispensed"} if supply.deadlines else set())
        assert {alarm.why for alarm in supply.open_alarms} == set(supply.said)


def name_of(event: Any) -> str:
    name: str = event.prescription if event.TYPE.endswith("PrescriptionIssued.v1") else event.entry
    return name


@given(st.lists(steps, max_size=18))
def test_whatever_moves_and_is_corrected_counts_as_a_recount_does(some: list[Step]) -> None:
    world = World()
    for step in some:
        world.step(*step)
        world.holds()
    world.wait(24)
    assert world.case.supply.said == world.gaps()
    assert world.case.supply.deadlines == {}
    assert STATE.validate_json(STATE.dump_json(world.case)) == world.case
