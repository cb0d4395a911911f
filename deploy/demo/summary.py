"""What came of it, gathered from the services' views and the ledger, as a table for people or one JSON object for programs."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from deploy.cli.outcomes import lines_in_words, lines_of
from deploy.demo.calls import AUDITOR, DIRECTOR, OPERATOR, Calls
from deploy.demo.run import Patient
from deploy.local.running import SERVICES
from deploy.pictures.session_timeline import session_timeline
from deploy.pictures.trajectories import trajectories
from shared.pathway.policy import read_document

PAGE: Final = "500"
DECIDING: Final = ("intake", "prescriber", "session", "integration")
STRICTER: Final = {"gad7_positive": 5, "hold_systolic_above": 120, "first_supply_doses": 1, "escalate_systolic_above": 140}
"""A policy that a medical director might propose: what would it have changed?"""


@dataclass(frozen=True)
class Outcomes:
    """Change of PHQ-9 from screening to the last answer, of those who were dosed; every rate beside the number followed."""

    dosed: int
    changes: Sequence[int]
    responses: int
    remissions: int
    deteriorations: int

    @property
    def followed(self) -> int:
        """How many answered at least once after a dose."""
        return len(self.changes)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        mean = round(sum(self.changes) / self.followed, 1) if self.changes else None
        counts = {"responses": self.responses, "remissions": self.remissions, "deteriorations": self.deteriorations}
        return {"dosed": self.dosed, "followed": self.followed, "mean_change": mean, **counts}


@dataclass(frozen=True)
class Replayed:
    """Every decision made again: under its own policy none may change; under a stricter one, so many would have."""

    made: int
    changed: int
    changed_if_stricter: int

    def to_json(self) -> dict[str, int]:
        """Return plain values."""
        return {"made": self.made, "changed": self.changed, "changed_if_stricter": self.changed_if_stricter}


@dataclass(frozen=True)
class Report:
    """Everything that is said at the end."""

    patients: int
    outcomes: Mapping[str, int]
    events: Mapping[str, int]
    """What happened in the cases, by name."""
    accesses: Mapping[str, int]
    """What the ledger tells of who accessed what, by name."""
    parked: int
    ledger_size: int
    gaps: int
    ledger_verified: bool
    webhooks: Mapping[str, int]
    phq9: Outcomes
    happened: Mapping[str, int]
    """How often each thing happened on the way that a demo is to show."""
    groups: Sequence[str]
    """Outcomes by clinic, partner, route and intent, line by line."""
    pictures: Mapping[str, str] = field(repr=False)
    """SVG by name: the trajectories of those who were treated, and one session."""
    screened_out_for: Mapping[str, int]
    doses: int
    decisions: Replayed
    seconds: float
    case_ids: Sequence[str] = field(default=(), repr=False)

    def what_does_not_hold(self) -> str | None:
        """Return in one line what did not hold; None if everything did."""
        if sum(self.outcomes.values()) < self.patients:
            return f"{self.patients - sum(self.outcomes.values())} of {self.patients} patients reached no end state"
        if self.parked:
            return f"{self.parked} events are parked"
        if self.gaps:
            return f"the ledger has {self.gaps} gaps"
        if not self.ledger_verified:
            return "the ledger does not verify"
        if self.decisions.changed:
            return f"{self.decisions.changed} of {self.decisions.made} decisions come out differently under their own policy"
        if self.webhooks["refused"] or self.webhooks["verified"] < self.webhooks["due"]:
            return "of {due} webhooks due the partner verified {verified} and refused {refused}".format(**self.webhooks)
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        return {
            "patients": self.patients,
            "outcomes": dict(sorted(self.outcomes.items())),
            "events": dict(sorted(self.events.items())),
            "accesses": dict(sorted(self.accesses.items())),
            "parked": self.parked,
            "ledger": {"size": self.ledger_size, "gaps": self.gaps, "verified": self.ledger_verified},
            "webhooks": dict(self.webhooks),
            "doses": self.doses,
            "decisions": self.decisions.to_json(),
            "phq9": self.phq9.to_json(),
            "happened": dict(self.happened),
            "seconds": round(self.seconds, 1),
        }


async def report(calls: Calls, patients: Sequence[Patient], partner: Mapping[str, Any], seconds: float) -> Report:
    """Gather the report from what the services, the ledger and the partner say."""
    parked = await asyncio.gather(*(calls.get(OPERATOR, service, "/operations/parked") for service in SERVICES))
    events, accesses, holds, due = await _events(calls)
    by_group = (await calls.get(DIRECTOR, "integration", "/outcomes", {"instrument": "phq-9"})).content
    ledger = (await calls.get(AUDITOR, "audit", "/ledger/verification")).content
    views = [patient.situation.view("intake") for patient in patients]
    found = [view["screening"] for view in views if view and view["screening"]]
    return Report(
        patients=len(patients),
        outcomes=Counter(patient.end for patient in patients if patient.end is not None),
        events=events,
        accesses=accesses,
        parked=sum(len(answer.content["parked"]) for answer in parked),
        ledger_size=ledger["size"],
        gaps=_count_gaps(ledger["gaps"]),
        ledger_verified=bool(ledger["verified"]),
        webhooks={
            "due": due,
            "verified": partner["verified"],
            "refused": partner["refused"],
        },
        phq9=_phq9(patients),
        happened=_happened(patients, events, holds),
        groups=list(lines_in_words(by_group)),
        pictures={
            "trajectories": trajectories("PHQ-9: mean total of those who were followed", lines_of(by_group)),
            "session": _picture_of_a_session(patients),
        },
        screened_out_for=Counter(
            finding["item"] for screening in found if screening["outcome"] == "screened_out" for finding in screening["findings"]
        ),
        doses=events.get("SessionDosed", 0),
        decisions=await _replayed(calls),
        seconds=seconds,
        case_ids=[str(patient.situation.case) for patient in patients],
    )


def print_report(shown: Report, console: Console) -> None:
    """Print the tables."""
    ends, events = Table("patients", "", title="What became of them", title_justify="left"), Table("event", "count")
    for state, count in sorted(shown.outcomes.items(), key=lambda item: -item[1]):
        ends.add_row(state, str(count))
    ends.add_section()
    ends.add_row("referred", str(shown.patients))
    for what, times in shown.happened.items():
        ends.add_row(what, str(times))
    ends.add_section()
    ends.add_row("doses given", str(shown.doses))
    ends.add_row("alerts raised", str(shown.events.get("AlertRaised", 0)))
    ends.add_row("alarms of a supply that does not balance", str(shown.events.get("DiversionSuspected", 0)))
    for item, count in sorted(shown.screened_out_for.items(), key=lambda item: -item[1]):
        ends.add_row(f"screened out or deferred for {item.replace('_', ' ')}", str(count))
    for name, count in sorted(shown.events.items(), key=lambda item: -item[1]):
        events.add_row(name, str(count))
    console.print(ends)
    console.print(events)
    console.print(_outcome_line(shown.phq9))
    for line in shown.groups:
        console.print(f"  {line}")
    gaps = "no gaps" if not shown.gaps else f"{shown.gaps} GAPS"
    verified = "verified" if shown.ledger_verified else "NOT VERIFIED"
    read = f"{sum(shown.accesses.values())} of them tell who accessed what"
    console.print(f"Ledger: {shown.ledger_size} entries, {read}; {gaps}, {verified}. Parked: {shown.parked}.")
    again = f"{shown.decisions.made} decisions made again under their own policy: "
    again += "all the same" if not shown.decisions.changed else f"{shown.decisions.changed} DIFFERENT"
    console.print(f"{again}; under a stricter one {shown.decisions.changed_if_stricter} would have differed.")
    console.print(f"Partner: {shown.webhooks['verified']} signed webhooks verified, {shown.webhooks['refused']} refused.")
    console.print(f"{shown.seconds:.0f} seconds. Answers and vital signs were simulated; the records are Synthea's.")


def _outcome_line(phq9: Outcomes) -> str:
    if not phq9.followed:
        return f"PHQ-9: none of {phq9.dosed} dosed patients was followed."
    mean = sum(phq9.changes) / phq9.followed
    counts = (("response", phq9.responses), ("remission", phq9.remissions), ("worse", phq9.deteriorations))
    rates = ", ".join(f"{name} {count} of {phq9.followed}" for name, count in counts)
    return f"PHQ-9: {phq9.followed} of {phq9.dosed} dosed patients followed; mean change {mean:+.1f}; {rates}."


async def _replayed(calls: Calls) -> Replayed:
    document = read_document().model_dump(mode="json")
    document["version"] = "stricter"
    for name, value in STRICTER.items():
        document["values"][name]["value"] = value
    made = changed = changed_if_stricter = 0
    for service in DECIDING:
        own = (await calls.post(AUDITOR, service, "/policy/replay", {}, "replay")).content
        strict = (await calls.post(AUDITOR, service, "/policy/replay", {"document": document}, "replay-stricter")).content
        made += own["decisions"]
        changed += len(own["different"])
        changed_if_stricter += len(strict["different"])
    return Replayed(made, changed, changed_if_stricter)


def _happened(patients: Sequence[Patient], events: Mapping[str, int], holds: Mapping[str, int]) -> dict[str, int]:
    """Count what the services did about the patients whom something happened to."""
    refused = [why for patient in patients for why in patient.situation.refused.values()]
    return {
        "accepted by the screening": events.get("ScreeningCompleted", 0),
        "screened out or deferred": events.get("ScreenedOut", 0),
        "asked for clearance, answered": events.get("ClearanceAnswered", 0),
        "approved": events.get("EligibilityApproved", 0),
        "declined": events.get("EligibilityDeclined", 0),
        "held for suicide risk": holds.get("intake", 0) + holds.get("integration", 0),
        "reviews taken from a silent partner": events.get("ReviewReassigned", 0),
        "doses held for blood pressure": sum("pressure-above-limit" in why for why in refused),
        "of these allowed by a prescriber": events.get("PressureDecided", 0),
        "blood pressures missed after a dose": events.get("VitalOverdue", 0),
        "emergencies in a session": events.get("EmergencyResponded", 0),
        "safety stops from the session room": holds.get("session", 0),
        "consent withdrawn": events.get("ConsentWithdrawn", 0),
        "cleared anew after more than 12 weeks": events.get("ScreeningRenewed", 0),
        "integration sessions missed": events.get("IntegrationMissed", 0),
        "integration sessions overdue": events.get("IntegrationOverdue", 0),
        "deteriorations, back to the prescriber": events.get("DeteriorationNoted", 0),
    }


def _picture_of_a_session(patients: Sequence[Patient]) -> str:
    """Draw the session in which most happened."""
    courses = [patient.situation.view("session") for patient in patients]
    sessions = [(session, course["limits"]) for course in courses for session in course.get("sessions", ()) if session["timeline"]]
    if not sessions:
        return session_timeline({"session": 0, "timeline": []})
    session, limits = max(sessions, key=lambda each: len({line["event"] for line in each[0]["timeline"]}))
    return session_timeline(session, None if limits is None else limits["hold_above"])


async def _events(calls: Calls) -> tuple[Counter[str], Counter[str], Counter[str], int]:
    """Return events of cases and of accesses by name, holds by the service that placed them, and how many webhooks were due.

    What a silent partner lost stays with the network's own prescribers.
    """
    counted: Counter[str] = Counter()
    accesses: Counter[str] = Counter()
    holds: Counter[str] = Counter()
    webhooks = 0
    in_house: set[str] = set()
    query = {"limit": PAGE}
    while True:
        page = (await calls.get(AUDITOR, "audit", "/ledger/events", query)).content
        for event in page["events"]:
            _, service, name, _ = event["type"].split(".")
            if service == "access":
                accesses[name] += 1
                continue
            counted[name] += 1
            if name == "SafetyHoldPlaced":
                holds[service] += 1
            if name == "ReviewReassigned":
                in_house.add(event["case"])
            webhooks += name == "ReviewAssigned" and event["case"] not in in_house
        if page["next"] is None:
            return counted, accesses, holds, webhooks
        query = {"limit": PAGE, "cursor": str(page["next"])}


def _count_gaps(gaps: Sequence[Mapping[str, Any]]) -> int:
    """Count events that are missing: holes between entries, and tails that a service has and the ledger lacks."""
    return sum(gap["last"] - gap["first"] + 1 for gap in gaps)


def _phq9(patients: Sequence[Patient]) -> Outcomes:
    last: list[Mapping[str, Any]] = []
    dosed = 0
    for patient in patients:
        view = patient.situation.view("integration")
        dosed += bool(view.get("planned"))
        answered = [each for each in view.get("outcomes", ()) if each["instrument"] == "phq-9" and each.get("change") is not None]
        last += answered[-1:]
    return Outcomes(
        dosed=dosed,
        changes=[each["change"] for each in last],
        responses=sum(bool(each["response"]) for each in last),
        remissions=sum(bool(each["remission"]) for each in last),
        deteriorations=sum(bool(each["deterioration"]) for each in last),
    )
