"""A dose that is asked for now, or was given then: what every rule of the gate looks at."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.session.domain.session import Session
from shared.events.base import Slug
from shared.events.clinical import Route
from shared.events.session import PreDoseChecked


@dataclass(frozen=True, slots=True)
class DoseInQuestion:
    """The rules judge it by what had happened until `at`, so that one charted late is judged as it would have been then."""

    session: Session
    at: datetime
    dose_mg: Decimal
    route: Route | None
    """None where no plan says so."""
    booster: bool = False
    lot: Slug | None = None
    infusion_minutes: int | None = None

    @property
    def checks(self) -> PreDoseChecked | None:
        """The checks that it rests on."""
        return self.session.checks_by(self.at)

    @property
    def total_mg(self) -> Decimal:
        """The session's milligrams with this dose."""
        return self.session.dosed_mg_by(self.at) + self.dose_mg
