"""The rules of the gate as a model beside the service, for the machine in `test_gate_machine.py`.

Written from R-10, R-14, R-15, R-18 to R-20, R-22, R-23, R-26 and R-28 as domain.md 5c states them. It keeps its own notes of what
was heard and done in the room, and asks the service nothing.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from shared.events.clinical import Route

CLINIC_TIME = ZoneInfo("America/New_York")
SOON = timedelta(hours=5)
DOSES: dict[Route, tuple[str, str, str, str]] = {
    "sublingual": ("100", "300", "100", "301"),
    "intramuscular": ("20", "140", "50", "141"),
    "intranasal_esketamine": ("56", "84", "56", "70"),
}
"""The plan's band, a dose inside it, and one that no rule lets through: the patient weighs 70 kg, and an injection stays under 2 mg/kg."""
PRESSURES = ((120, 80), (140, 90), (141, 80), (120, 91), (150, 95))
DEFECTS = (
    None, None, None, None, "consent", "version", "monitor", "minor", "escort", "fasting", "ate", "chaperone", "late", "address", "weight"
)  # fmt: skip
"""What is wrong with the checks, if anything."""
AT_HOME = ("chaperone", "late", "address")
ROUTES_OF: dict[str, Route] = {
    **dict.fromkeys(AT_HOME, "sublingual"),
    **dict.fromkeys(("fasting", "ate", "not certified"), "intranasal_esketamine"),
}
"""Where a beginning says something of one route only."""
BEGINNINGS = (
    "nothing", "well", "approval not heard", "not told", "not certified", "held", "held by the lower number", "decided",
    "decided once", "not today", "higher after all", "this morning", "expired", "given and gone", "just dosed", "well dosed",
    "emergency", "not integrated", "elsewhere running", "ended", "declined, and the approval heard again", "replaced",
    "another hold lifted", "version changed", "never heard", "heard too long ago", *filter(None, dict.fromkeys(DEFECTS)),
)  # fmt: skip


def day_of(moment: datetime) -> date:
    """The day at the clinic."""
    return moment.astimezone(CLINIC_TIME).date()


@dataclass(frozen=True)
class Checked:
    """The last checks of a session."""

    at: datetime
    defect: str | None
    version: str


@dataclass
class Said:
    """What was heard from outside and done in the room, and what the rules make of it."""

    route: Route
    approvals: dict[int, datetime] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    doubtful: bool = False
    """Whether an approval came while something could keep it waiting, so that the rules alone do not say which one is open."""
    given: list[tuple[datetime, str]] = field(default_factory=list)
    withdrawn: list[datetime] = field(default_factory=list)
    placed: set[str] = field(default_factory=set)
    lifted: set[str] = field(default_factory=set)
    prepared: bool = False
    enrolled: bool = False
    held_at: datetime | None = None
    home: dict[int, bool] = field(default_factory=dict)
    checked: dict[int, Checked] = field(default_factory=dict)
    readings: dict[int, list[tuple[datetime, tuple[int, int]]]] = field(default_factory=dict)
    decided: dict[int, tuple[str, datetime, tuple[int, int]]] = field(default_factory=dict)
    doses: list[tuple[int, datetime, Decimal]] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)
    ages: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(("intake", "prescriber", "integration"), 0))
    """Up to how many seconds ago each service was heard; None: never."""
    emergencies: set[int] = field(default_factory=set)
    """R-22: nobody records here how one ended, so each stands in the way of every later dose."""

    @property
    def stopped(self) -> bool:
        """R-10, R-20: a hold that was not lifted, or no consent since the last withdrawal."""
        if self.placed - self.lifted or not self.given:
            return True
        return any(withdrawn_at >= max(self.given)[0] for withdrawn_at in self.withdrawn)

    @property
    def young(self) -> bool:
        """R-20: what every other service says is known up to 15 seconds ago (the shipped policy's)."""
        return all(age is not None and age <= 15 for age in self.ages.values())

    def approved(self, now: datetime) -> bool:
        """R-14, R-15: the newest approval, if no word on it or a later request closed it, and it has not expired."""
        in_question = self.approvals.items() if self.doubtful else [max(self.approvals.items(), default=(0, now))]
        return any(request > max(self.closed, default=0) and now < expires for request, expires in in_question)

    def surely_approved(self, now: datetime) -> bool:
        """Whether there can be no doubt which approval is open."""
        return not self.doubtful and self.approved(now)

    def room_allows(self, session: int, now: datetime) -> bool:
        """R-19, R-20, R-26: the last checks of the day, and what they must show."""
        checks = self.checked.get(session)
        if checks is None or day_of(checks.at) != day_of(now) or now - checks.at > timedelta(minutes=240):
            return False
        home, defect = self.home.get(session, False), checks.defect
        if defect in {"consent", "escort"} or checks.version != max(self.given)[1]:
            return False
        if not home and defect in {"monitor", "minor"}:
            return False
        if home and (defect in {"chaperone", "address"} or (defect == "late" and now - checks.at < timedelta(minutes=10))):
            return False  # a chaperone who is late came five minutes before the checks, of fifteen
        if self.route == "intranasal_esketamine":
            ate_at = checks.at - (timedelta(minutes=60) if defect == "ate" else timedelta(hours=12))
            if not self.enrolled or defect == "fasting" or now - ate_at < timedelta(hours=2):
                return False
        return True

    def pressure_allows(self, session: int, now: datetime) -> bool:
        """R-19: the last pressure is at or under 140/90, or a prescriber's word covers one as high; and no "not today" stands."""
        word, until, decided_on = self.decided.get(session, ("", now, (0, 0)))
        if word == "no_dose_today" and day_of(until) == day_of(now):
            return False
        last_at = max(at for at, _ in self.readings[session])
        last = [pressure for at, pressure in self.readings[session] if at == last_at]
        systolic, diastolic = max(each[0] for each in last), max(each[1] for each in last)
        if systolic <= 140 and diastolic <= 90:
            return True
        return word == "proceed" and now < until and systolic <= decided_on[0] and diastolic <= decided_on[1]

    def dose_allows(self, session: int, dose_mg: Decimal, booster: bool, now: datetime) -> bool:
        """R-18: inside the plan with what was given before in the session, a weight of the last 30 days, a booster after 15 minutes."""
        low, high = (Decimal(bound) for bound in DOSES[self.route][:2])
        before = [(at, given) for number, at, given in self.doses if number == session]
        total = dose_mg + sum(given for _, given in before)
        if not low <= total <= high or self.checked[session].defect == "weight":
            return False
        if self.route == "intranasal_esketamine" and total not in {56, 84}:
            return False
        return not booster or now - max(at for at, _ in before) >= timedelta(minutes=15)

    def integrated(self, session: int) -> bool:
        """R-28: an integration session since the last dose of any other session."""
        earlier = [at for number, at, _ in self.doses if number != session]
        return not earlier or (self.held_at is not None and self.held_at >= max(earlier))

    def allows(self, session: int, dose_mg: Decimal, booster: bool, now: datetime) -> bool:
        """Whether everything but the approval allows the dose."""
        return (
            not self.stopped
            and self.prepared
            and self.room_allows(session, now)
            and self.pressure_allows(session, now)
            and self.dose_allows(session, dose_mg, booster, now)
            and self.integrated(session)
            and not self.running - {session}
            and not self.emergencies
        )
