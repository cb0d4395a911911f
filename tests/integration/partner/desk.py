"""An admin's desk: one partner, managed over HTTP."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.integration.partner_clinic import Answer, Clinic


@dataclass
class Desk:
    """One partner and its admin; every answer is kept as it was written."""

    clinic: Clinic
    slug: str
    answers: list[str] = field(default_factory=list)

    async def post(self, path: str, body: dict[str, Any], key: str | None = None) -> Answer:
        status, answer = await self.clinic.post(f"/partners/{self.slug}/{path}", body, "admin", key=key)
        self.answers.append(json.dumps(answer))
        return status, answer

    async def done(self, path: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        status, answer = await self.post(path, body, key)
        assert status == 200, answer
        return answer

    async def refused(self, path: str, body: dict[str, Any]) -> str:
        status, problem = await self.post(path, body)
        assert status == 409, problem
        return str(problem["type"]).removeprefix("urn:kapcare:problem:")

    async def get(self, path: str = "", status: int = 200) -> dict[str, Any]:
        found, answer = await self.clinic.get(f"/partners/{self.slug}{path}", "admin")
        assert found == status, answer
        self.answers.append(json.dumps(answer))
        return answer

    def shown(self, secret: str) -> int:
        """In how many answers the secret stands."""
        return sum(secret in answer for answer in self.answers)
