"""How a service is served: whom it believes about who calls."""

import pytest
from pydantic import ValidationError

from shared.service.app import server_options
from tests import toy


def trusted(value: str | None) -> tuple[bool, str]:
    changed = {} if value is None else {"trusted_proxies": value}
    options = server_options(toy.settings_for("mongodb://127.0.0.1:1", "127.0.0.1:1", "t", **changed))
    return options["proxy_headers"], options["forwarded_allow_ips"]


@pytest.mark.parametrize("value", [None, "", " ", ","])
def test_nobody_is_trusted_unless_said_so(value: str | None) -> None:
    assert trusted(value) == (False, "")


def test_addresses_and_networks_are_trusted_as_said() -> None:
    assert trusted("10.1.2.3, fd00::/8,192.168.0.0/16") == (True, "10.1.2.3/32,fd00::/8,192.168.0.0/16")


@pytest.mark.parametrize("value", ["*", "proxy", "10.0.0.1/8", "10.0.0.0/8 10.1.0.0/16", "10.0.0.0/8;", "300.1.1.1"])
def test_what_is_no_network_is_refused_and_not_taken_for_a_name(value: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        trusted(value)
    assert "with commas between" in str(wrong.value)
    assert value not in str(wrong.value)
