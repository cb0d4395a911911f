"""What came of it, gathered from the services' views and the ledger, as a table for people or one JSON object for programs."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from deploy.demo.calls import AUDITOR, OPERATOR, Calls
from deploy.demo.run import Patient
from deploy.local.running import SERVICES
from shared.pathway.policy import read_document

PAGE: Final = "500"
DECIDING: Final = ("intake", "prescriber")
STRICTER: Final = {"gad7_positive": 5, "hold_systolic_above": 120, "first_supply_doses": 1}
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
    parked: int
    ledger_size: int
    gaps: int
    ledger_verified: bool
    webhooks: Mapping[str, int]
    phq9: Outcomes
    screened_out_for: Mapping[str, int]
    cleared: int
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
            "parked": self.parked,
            "ledger": {"size": self.ledger_size, "gaps": self.gaps, "verified": self.ledger_verified},
            "webhooks": dict(self.webhooks),
            "doses": self.doses,
            "decisions": self.decisions.to_json(),
            "phq9": self.phq9.to_json(),
            "seconds": round(self.seconds, 1),
        }


async def report(calls: Calls, patients: Sequence[Patient], partner: Mapping[str, Any], seconds: float) -> Report:
    """Gather the report from what the services, the ledger and the partner say."""
    parked = await asyncio.gather(*(calls.get(OPERATOR, service, "/operations/parked") for service in SERVICES))
    events, due = await _events(calls)
    ledger = (await calls.get(AUDITOR, "audit", "/ledger/verification")).content
    views = [patient.situation.view("intake") for patient in patients]
    found = [view["screening"] for view in views if view and view["screening"]]
    return Report(
        patients=len(patients),
        outcomes=Counter(patient.end for patient in patients if patient.end is not None),
        events=events,
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
        screened_out_for=Counter(
            finding["item"] for screening in found if screening["outcome"] == "screened_out" for finding in screening["findings"]
        ),
        cleared=events.get("ClearanceAnswered", 0),
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
    ends.add_row("asked for clearance, answered", str(shown.cleared))
    ends.add_row("approved", str(shown.events.get("EligibilityApproved", 0)))
    ends.add_row("doses given", str(shown.doses))
    ends.add_row("safety holds placed, most for suicide risk", str(shown.events.get("SafetyHoldPlaced", 0)))
    ends.add_row("reviews taken from a silent partner", str(shown.events.get("ReviewReassigned", 0)))
    ends.add_row("alerts raised", str(shown.events.get("AlertRaised", 0)))
    ends.add_row("alarms of a supply that does not balance", str(shown.events.get("DiversionSuspected", 0)))
    for item, count in sorted(shown.screened_out_for.items(), key=lambda item: -item[1]):
        ends.add_row(f"screened out or deferred for {item.replace('_', ' ')}", str(count))
    for name, count in sorted(shown.events.items(), key=lambda item: -item[1]):
        events.add_row(name, str(count))
    console.print(ends)
    console.print(events)
    console.print(_outcome_line(shown.phq9))
    gaps = "no gaps" if not shown.gaps else f"{shown.gaps} GAPS"
    verified = "verified" if shown.ledger_verified else "NOT VERIFIED"
    console.print(f"Ledger: {shown.ledger_size} entries, {gaps}, {verified}. Parked: {shown.parked}.")
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


async def _events(calls: Calls) -> tuple[Counter[str], int]:
    """Return the events by type, and how many webhooks were due: what a silent partner lost stays with the network's own prescribers."""
    counted: Counter[str] = Counter()
    webhooks = 0
    in_house: set[str] = set()
    query = {"limit": PAGE}
    while True:
        page = (await calls.get(AUDITOR, "audit", "/ledger/events", query)).content
        for event in page["events"]:
            name = event["type"].split(".")[2]
            counted[name] += 1
            if name == "ReviewReassigned":
                in_house.add(event["case"])
            webhooks += name == "ReviewAssigned" and event["case"] not in in_house
        if page["next"] is None:
            return counted, webhooks
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
