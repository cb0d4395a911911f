"""What an organisation is answered to its decision: also where it came too late, or at the wrong moment."""

from typing import Final

from starlette.responses import Response

from shared.events.prescriber import DecisionRefused, LateDecisionReceived
from shared.http.commands import answer_of
from shared.http.problems import Problem
from shared.log.decisions import Committed
from shared.service.runtime import Runtime

LATE_DECISION: Final = "late-decision"


def answer_to_partner(committed: Committed, runtime: Runtime) -> Response:
    """Return the answer that a commit stands for, the same each time the same message comes: what was recorded.

    Raises Problem `late-decision` for an answer to a review that the organisation no longer had: it is recorded, and whoever
    sent it must not take a success for its decision; the reason of one that came at the wrong moment; `refused-by-rule` where a
    rule refused it.
    """
    etag = {"ETag": f'"{committed.version}"'}
    for recorded in committed.recorded:
        if isinstance(recorded.data, DecisionRefused):
            refused = recorded.data
            runtime.metrics.refused(refused.reason)
            raise Problem(409, refused.reason, refused.detail, headers=etag, rule=refused.rule, version=committed.version)
    if any(isinstance(recorded.data, LateDecisionReceived) for recorded in committed.recorded):
        runtime.metrics.refused(LATE_DECISION)
        raise Problem(
            409,
            LATE_DECISION,
            "The review had been given to another organisation, or yours had left; your answer is recorded and changes nothing.",
            headers=etag,
            version=committed.version,
        )
    return answer_of(committed, runtime)
