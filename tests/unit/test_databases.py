"""The databases that services use are those that a deployment's user may use: one that is forgotten keeps a service from starting."""

from dataclasses import replace
from unittest.mock import MagicMock

from deploy.replica_set import databases_of
from shared.events.topics import RECORDERS
from shared.service.runtime import Runtime
from shared.telemetry.logs import configure_logs
from tests import toy


def test_the_user_of_a_deployment_may_use_every_database_that_a_service_opens() -> None:
    opened: set[str] = set()
    for service in RECORDERS:
        client = MagicMock()
        settings = toy.settings_for("mongodb://127.0.0.1:1", "127.0.0.1:1", "kapcare", care_clock="movable")
        Runtime(replace(toy.INTAKE, name=service), settings, client, configure_logs(service))
        opened |= {call.args[0] for call in client.__getitem__.call_args_list}
    assert opened == set(databases_of("kapcare"))
