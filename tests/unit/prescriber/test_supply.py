"""The ledger of medication as a property: whatever moves, in whatever order it becomes known, the sums hold and each gap is said.

The oracle keeps plain lists of milligrams and asks the service nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.prescriber.api import show_supply
from services.prescriber.domain.state import Case
from services.prescriber.domain.supply import Balance, Line
from services.prescriber.reactions import falling_due
from shared.events.base import EventData
from shared.events.supply import DiversionSuspected, MedicationDispensed
from shared.pathway.context import Context
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import NOW, context, nobody, told
from tests.unit.prescriber.moved import approved, dispense, dispensed, dose, give_back, last, prescribed, waste

STATE = TypeAdapter(Case)
ONE = prescribed(approved(doses=12), doses=2, refills=0)
BOTH = prescribed(ONE, context(seed="event:urn:kapcare:intake/e2"), doses=3, refills=1)
"""Two prescriptions: 200 mg, and 600 mg in two fills."""
FIRST, SECOND = last(ONE), last(BOTH)
ALLOWED = {FIRST: Decimal(200), SECOND: Decimal(600)}

Kind = Literal["dispense", "dose", "waste", "return", "wait"]
Move = tuple[Kind, str, Decimal]
milligrams = st.decimals("0.01", 400, places=2)
facts = st.one_of(
    st.tuples(st.just("dispense"), st.sampled_from([FIRST, SECOND, "prescription-of-nobody"]), milligrams),
    st.tuples(st.sampled_from(["dose", "waste", "return"]), st.just(""), milligrams),
)
moves = st.one_of(facts, st.tuples(st.just("wait"), st.just(""), st.sampled_from([Decimal(1), Decimal(13), Decimal(24)])))


@dataclass
class World:
    """One case, care time, and what really moved."""

    case: Case = BOTH
    now: datetime = NOW
    dispensed: dict[str, list[Decimal]] = field(default_factory=lambda: defaultdict(list))
    administered: list[Decimal] = field(default_factory=list)
    wasted: list[Decimal] = field(default_factory=list)
    returned: list[Decimal] = field(default_factory=list)

    @property
    def context(self) -> Context:
        return context(now=self.now)

    @property
    def gaps(self) -> dict[str, Decimal]:
        """What nothing accounts for."""
        used = sum([*self.administered, *self.wasted, *self.returned], Decimal(0))
        fills = {of: sum(some, Decimal(0)) for of, some in self.dispensed.items()}
        found = {
            "dispensed-without-prescription": sum((some for of, some in fills.items() if of not in ALLOWED), Decimal(0)),
            "dispensed-above-prescribed": sum(
                (max(Decimal(0), some - ALLOWED[of]) for of, some in fills.items() if of in ALLOWED), Decimal(0)
            ),
            "used-above-dispensed": used - sum(fills.values(), Decimal(0)),
        }
        return {why: some for why, some in found.items() if some > 0}

    def move(self, kind: Kind, of: str, amount: Decimal) -> None:
        text = str(amount)
        match kind:
            case "dispense":
                self.dispensed[of].append(amount)
                self.take(dispense(self.case, self.context, of=of, milligrams=text, doses=1))
            case "dose":
                self.administered.append(amount)
                self.take(dose(self.case, self.context, milligrams=text, given_at=self.now))
            case "waste":
                self.wasted.append(amount)
                self.take(waste(self.case, self.context, milligrams=text))
            case "return":
                self.returned.append(amount)
                self.take(give_back(self.case, self.context, milligrams=text))
            case "wait":
                self.wait(int(amount))

    def wait(self, hours: int) -> None:
        """Let time pass; whatever falls due is ticked as the ticker does."""
        self.now += timedelta(hours=hours)
        for name, due in sorted(self.case.supply.deadlines.items()):
            if due <= self.now:
                self.take(falling_due(nobody)(self.case, name, self.context), fact=False)

    def take(self, events: Sequence[EventData], *, fact: bool = True) -> None:
        """Fold what was decided: the fact itself, and alarms that are true, new, and each said once."""
        said = without_alerts(events[1:] if fact else events)
        assert all(isinstance(event, DiversionSuspected) for event in said)
        assert not (fact and isinstance(events[0], DiversionSuspected))
        for alarm in said:
            assert isinstance(alarm, DiversionSuspected)
            assert alarm.unaccounted == self.gaps[alarm.why]
            assert alarm.unaccounted > self.case.supply.said.get(alarm.why, 0)
        self.case = told(self.case, events)

    def holds(self) -> None:
        """The sums are those of the oracle, and each gap is said or waited for, and nothing else is."""
        balance = self.case.supply.balance
        assert balance == Balance(
            prescribed=Decimal(800),
            dispensed=sum((sum(some, Decimal(0)) for some in self.dispensed.values()), Decimal(0)),
            administered=sum(self.administered, Decimal(0)),
            wasted=sum(self.wasted, Decimal(0)),
            returned=sum(self.returned, Decimal(0)),
        )
        deadlines = self.case.supply.deadlines
        assert all(self.now < due <= self.now + timedelta(hours=24) for due in deadlines.values())
        unsaid = {why for why, gap in self.gaps.items() if self.case.supply.said.get(why) != gap}  # type: ignore[call-overload]
        assert unsaid == ({"used-above-dispensed"} if deadlines else set())
        assert set(self.case.supply.said) <= set(self.gaps)


@given(st.lists(moves, max_size=25))
def test_whatever_moves_each_gap_is_said_once_or_waited_for(some: list[Move]) -> None:
    world = World()
    for move in some:
        world.move(*move)
        world.holds()
        assert STATE.validate_json(STATE.dump_json(world.case)) == world.case
    world.wait(24)
    assert world.case.supply.said == world.gaps
    assert world.case.supply.deadlines == {}


@given(st.lists(facts, max_size=10).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))))
def test_the_order_in_which_movements_become_known_changes_no_sum_and_no_gap(orders: tuple[list[Move], list[Move]]) -> None:
    ends = []
    for order in orders:
        world = World()
        for move in order:
            world.move(*move)
        world.wait(24)
        ends.append((world.case.supply.balance, world.case.supply.mismatches, world.case.supply.said))
    assert ends[0] == ends[1]


@given(st.lists(facts, max_size=12))
def test_nothing_is_suspected_where_every_dose_was_dispensed_in_time(some: list[Move]) -> None:
    """The facts that keep to the rules, taken from any list: doses first, the record of their dispensing within the day."""
    world, left = World(), dict(ALLOWED)
    for kind, of, amount in some:
        if kind == "dispense" and amount <= left.get(of, 0):
            left[of] -= amount
            world.move("dose", "", amount)
            world.wait(23)
            world.move("dispense", of, amount)
    world.wait(48)
    assert world.case.supply.alarms == ()
    assert world.case.supply.balance.on_hand == 0


def test_every_dispensing_survives_with_what_it_deviated_from() -> None:
    fill, *_ = dispense(BOTH, of=FIRST, milligrams="250", fill_number=2)
    assert isinstance(fill, MedicationDispensed)
    line = told(BOTH, [fill]).supply.lines[-1]
    assert (line.kind, line.prescription, line.fill_number, line.lot) == ("dispensed", FIRST, 2, "lot-1")
    assert line.deviations == ("refills-used-up", "above-prescribed")


def test_the_ledger_shows_each_line_with_its_running_balance() -> None:
    case = told(dispensed(), dose(dispensed(), milligrams="120"))
    case = told(case, waste(case, milligrams="30"))
    shown = show_supply(case)
    columns = ("kind", "milligrams", "prescribed", "dispensed", "administered", "wasted", "returned", "on_hand")
    assert [tuple(line[name] for name in columns) for line in shown["lines"]] == [
        ("prescribed", 200, 200, 0, 0, 0, 0, 0),
        ("dispensed", 200, 200, 200, 0, 0, 0, 200),
        ("administered", 120, 200, 200, 120, 0, 0, 80),
        ("wasted", 30, 200, 200, 120, 30, 0, 50),
    ]
    assert shown["balance"]["on_hand"] == 50
    assert [line["who"] for line in shown["lines"]] == ["prescriber-7", "Corner Pharmacy", None, "nurse-2"]
    (issued,) = shown["prescriptions"]
    assert (issued["prescription"], issued["milligrams"], issued["dispensed"]) == (last(case), 200, 200)
    assert issued["last_day"] == date(2026, 9, 2)
    assert (shown["alarms"], shown["reconcile_by"]) == ([], None)


def test_a_case_without_medication_has_an_empty_ledger() -> None:
    shown: dict[str, Any] = show_supply(Case())
    assert (shown["lines"], shown["balance"]["prescribed"]) == ([], 0)


@given(st.lists(st.tuples(st.sampled_from(["prescribed", "dispensed", "administered", "wasted", "returned"]), milligrams), max_size=8))
def test_balances_add_up(some: list[tuple[Any, Decimal]]) -> None:
    total, apart = Balance(), Balance()
    for kind, amount in some:
        line = Line(kind, amount)
        total = total.with_line(line)
        apart = apart.plus(Balance().with_line(line))
    assert total == apart
