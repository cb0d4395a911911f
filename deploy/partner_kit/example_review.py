"""A review of nobody, in the form in which the network discloses one."""

from datetime import datetime, timedelta
from typing import Any

from shared.events.codec import time_text


def example_review(request: int, due_at: datetime) -> dict[str, Any]:
    """Return what `GET /partner/reviews/{case}` answers for an invented patient of whom nothing needs clearance."""
    answered_at = time_text(due_at - timedelta(days=5))
    return {
        "request": request,
        "due_at": time_text(due_at),
        "summary": {
            "indication": "depression",
            "age": 41,
            "sex": "female",
            "route": "sublingual",
            "weight_kg": "70",
            "scores": [{"instrument": "phq-9", "total": 18, "band": "moderately-severe", "answered_at": answered_at}],
            "risk": "none",
            "findings": [],
            "medications": ["sertraline"],
            "note": None,
            "stated_scores": [],
            "medications_of_no_class": [],
            "unread_conditions": [],
        },
        "clearances": [],
        "answers": [],
        "withheld": [],
        "why_withheld": None,
        "redisclosure": None,
    }
