"""What docker-compose.yml promises: nothing unconfined, nothing unpinned, no default secret, no missing setting."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cli.compose_env import compose_env
from deploy.local.issuer import KEY_SETTING
from deploy.local.running import SERVICES
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
PROJECT: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = PROJECT["services"]
PINNED = re.compile(r"^[a-z/]+:[0-9][\w.-]+@sha256:[0-9a-f]{64}$")


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_confined(name: str) -> None:
    container = CONTAINERS[name]
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    # Kafka writes its configuration into its image when it starts; its image has a user of its own.
    assert container["read_only"] or name == "kafka"
    assert container.get("user", "") not in ("", "root", "0") or name == "kafka"
    assert container["mem_limit"]
    assert container["healthcheck" if name not in SERVICES else "build"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_image_is_ours_or_pinned_by_digest(name: str) -> None:
    container = CONTAINERS[name]
    assert container["image"] == "kapcare:local" if "build" in container else PINNED.match(container["image"])


def test_the_base_image_is_pinned_by_digest() -> None:
    base = re.search(r"^ARG PYTHON=(\S+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert base
    assert PINNED.match(base[1])


def test_ports_are_published_on_loopback_alone() -> None:
    published = [port for container in CONTAINERS.values() for port in container.get("ports", [])]
    assert len(published) == len(SERVICES)
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_what_is_waited_for_exists_and_can_answer() -> None:
    for container in CONTAINERS.values():
        for name, wait in container.get("depends_on", {}).items():
            assert wait["condition"] in ("service_healthy", "service_completed_successfully")
            if wait["condition"] == "service_healthy":
                assert "test" in CONTAINERS[name]["healthcheck"]
            else:
                assert "restart" not in CONTAINERS[name]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_every_setting_it_needs(name: str) -> None:
    given = {setting.removeprefix("KAPCARE_").lower() for setting in CONTAINERS[name]["environment"]}
    needed = {field for field, info in Settings.model_fields.items() if info.is_required()}
    # The image says where to listen.
    assert needed - given <= {"port"}
    # Nobody but the ledger can sign for it.
    assert ({"ledger_signing_key", "ledger_origin"} <= given) == ("ledger_signing_key" in given) == (name == "audit")
    assert CONTAINERS[name]["environment"]["SERVICE"] == name
    assert CONTAINERS[name]["environment"]["KAPCARE_KAFKA_IDEMPOTENT_PRODUCER"] == "true"


def test_secrets_have_no_default_and_compose_env_gives_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compose_env(8200, tmp_path)
    given = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    asked = re.findall(r"\$\{(\w+)(:[?-])", TEXT)
    assert {name for name, _ in asked} <= set(given)
    secret = {name for name in given if "KEY" in name or "PASSWORD" in name}
    assert secret >= {
        "VAULT_MASTER_KEY",
        "RECEIPT_KEY",
        "LEDGER_SIGNING_KEY",
        "MONGO_ROOT_PASSWORD",
        "MONGO_PASSWORD",
        "MONGO_REPLICA_KEY",
        KEY_SETTING,
    }
    # The issuer's key belongs to a profile that production leaves out, so it cannot be demanded of everyone.
    assert {name for name, kind in asked if name in secret and kind == ":-"} == {KEY_SETTING}
    assert re.findall(rf"\$\{{{KEY_SETTING}:-(.*?)\}}", TEXT) == [""]
    assert given["INTAKE_PORT"] == "8201"
