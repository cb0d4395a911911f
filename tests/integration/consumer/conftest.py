"""A stage of its own for each test, and what its services log."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import structlog
from structlog.testing import LogCapture

from tests import toy


@pytest_asyncio.fixture
async def stage(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[toy.Stage]:
    async with toy.stage_on(mongo_url, kafka_bootstrap) as made:
        yield made


@pytest.fixture
def logged(stage: toy.Stage) -> list[Any]:
    """What the stage's services log from here on."""
    capture = LogCapture()
    for runtime in (stage.intake, stage.prescriber):
        runtime.log = structlog.wrap_logger(None, processors=[capture])
    entries: list[Any] = capture.entries
    return entries
