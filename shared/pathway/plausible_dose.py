"""Which amounts can be a dose in milligrams by a route: outside them milligrams per kilogram, or grams, were meant (R-18)."""

from decimal import Decimal

from shared.events.clinical import Route
from shared.pathway.policy import PolicyValues


def plausible_milligrams(route: Route, policy: PolicyValues) -> tuple[float, float]:
    """Return the least and the most milligrams that can be meant by one dose (R-18)."""
    return {
        "sublingual": policy.sublingual_plausible_mg,
        "intramuscular": policy.intramuscular_plausible_mg,
        "intravenous": policy.intravenous_plausible_mg,
        "intranasal_esketamine": policy.esketamine_plausible_mg,
    }[route]


def is_plausible(milligrams: Decimal, route: Route, policy: PolicyValues) -> bool:
    """Whether this can be one dose in milligrams (R-18). Policy documents write decimals; 0.2 means exactly 0.2."""
    low, high = plausible_milligrams(route, policy)
    return Decimal(str(low)) <= milligrams <= Decimal(str(high))
