"""The typed refusal of a request that is malformed or ill-timed; nothing is recorded for it.

A refusal under a clinical rule is different: it is itself a recorded event (`shared.events.base.StepRefused`).
"""


class Refusal(Exception):
    """A step that cannot be taken now.

    `slug` is stable and becomes the problem type; `detail` is for a person and never repeats a patient's data.
    """

    def __init__(self, slug: str, detail: str, *, rule: str | None = None) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.rule = rule
