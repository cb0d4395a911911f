"""The schedule of attempts, and which sockets are made at all."""

import socket

import pytest

from services.prescriber.partners.sending import RETRY_SECONDS, pause_after
from shared.webhooks.posting import make_socket_factory


def test_ten_attempts_within_76_hours() -> None:
    assert sum(RETRY_SECONDS) == 75 * 3600 + 35 * 60 + 5
    assert pause_after(len(RETRY_SECONDS)) is not None
    assert pause_after(len(RETRY_SECONDS) + 1) is None


@pytest.mark.parametrize("failures", range(1, len(RETRY_SECONDS) + 1))
def test_pauses_vary_by_a_fifth(failures: int) -> None:
    for _ in range(100):
        pause = pause_after(failures)
        assert pause is not None
        assert 0.8 <= pause.total_seconds() / RETRY_SECONDS[failures - 1] <= 1.2


@pytest.mark.parametrize(
    ("retry_after", "lowest", "highest"),
    [
        ("86400", 480, 720),
        ("1000000000", 240, 360),
        ("400", 400, 480),
        ("-5", 240, 360),
        ("1e9", 240, 360),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 240, 360),
        ("", 240, 360),
        ("٣٠", 240, 360),
        ("0", 240, 360),
    ],
)
def test_f30_retry_after_counts_between_once_and_twice_the_pause(retry_after: str, lowest: float, highest: float) -> None:
    pause = pause_after(2, retry_after)
    assert pause is not None
    assert lowest <= pause.total_seconds() <= highest


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_no_socket_is_made_to_addresses_inside(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(OSError, match="not one we call"):
        make_socket_factory(allow_loopback=False)((family, socket.SOCK_STREAM, 0, "", (address, 443)))


def test_a_socket_is_made_to_public_addresses_and_in_the_local_stack_to_loopback() -> None:
    make_socket_factory(allow_loopback=False)((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("1.1.1.1", 443))).close()
    make_socket_factory(allow_loopback=True)((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 443))).close()
