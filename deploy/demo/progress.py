"""Live progress in a terminal: care time, and how many patients are where."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deploy.demo.run import Patient

STAGES: Final = ("screening", "medical review", "preparing", "scheduled", "in session", "integrating")


class Silence:
    """Shows nothing."""

    def show(self, patients: Sequence[Patient], now: datetime | None) -> None:
        """Take note of nothing."""


class LiveTable:
    """One table that is drawn again and again."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> "LiveTable":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, patients: Sequence[Patient], now: datetime | None) -> None:
        """Draw it."""
        counted = Counter(patient.end or stage_of(patient) for patient in patients)
        title = f"care time {now:%A %d %B %Y %H:%M}" if now else "care begins"
        table = Table("", "patients", title=title, title_justify="left", min_width=44)
        for stage in STAGES:
            table.add_row(stage, "█" * counted.pop(stage, 0))
        table.add_section()
        for end, count in sorted(counted.items()):
            table.add_row(end, "█" * count)
        self._live.update(table)


def stage_of(patient: Patient) -> str:
    """Return where a patient is on the way, by what the services show."""
    situation = patient.situation
    session, integration = situation.view("session"), situation.view("integration")
    if session.get("status") in ("monitoring", "scheduled"):
        return "in session" if session["status"] == "monitoring" else "scheduled"
    if integration.get("planned"):
        return "integrating"
    if session.get("plan") is not None:
        return "preparing"
    return "medical review" if situation.view("prescriber").get("request") else "screening"
