"""B26, F27, F28: receivers that answer as no HTTP server should, each a raw socket server.

They are on loopback over plain HTTP, so the sender has loopback allowed, as in the local stack; everything else is as in
production but for the timeouts: short where the test waits for one, long where it must not come first.
"""

import asyncio
import gzip

import aiohttp
import pytest

from shared.clock import system_now
from shared.webhooks.posting import ATTEMPT, BODY_LIMIT_BYTES, HEADERS_LIMIT_BYTES, Answer, Poster
from shared.webhooks.signing import PrivateKey, SharedSecret, verify
from tests.faults.raw_receiver import BODY, Behaviour, Receiver, forever, hang, receiving, reset, saying, then

KEY = SharedSecret(b"hostile-hostile-hostile-hostile-")
SHORT = aiohttp.ClientTimeout(total=0.5)
SHORT_TO_CONNECT = aiohttp.ClientTimeout(total=60, connect=0.3)
LONG = aiohttp.ClientTimeout(total=60, connect=60)
KERNEL_BYTES = 16 * 2**20
"""More than the send and receive buffers of one connection ever hold: what was sent beyond the limit lies in them, unread."""

OK = b"HTTP/1.1 200 OK\r\n"


def sender(attempt: aiohttp.ClientTimeout = LONG, at_once: int = 4) -> Poster:
    return Poster(at_once=at_once, allow_loopback=True, attempt=attempt)


async def post(poster: Poster, url: str) -> Answer:
    return await poster.post(url, [KEY], "msg_hostile", system_now(), BODY)


async def post_once(behave: Behaviour, attempt: aiohttp.ClientTimeout = LONG) -> tuple[Answer, Receiver]:
    async with receiving(behave) as receiver, sender(attempt) as poster:
        return await post(poster, receiver.url), receiver


def test_an_attempt_has_15_seconds_and_5_to_connect() -> None:
    """The figures of Standard Webhooks (15 to 30 s) and Svix; the tests below replace them."""
    assert (ATTEMPT.total, ATTEMPT.connect) == (15, 5)
    assert (HEADERS_LIMIT_BYTES, BODY_LIMIT_BYTES) == (16 * 1024, 64 * 1024)


@pytest.mark.parametrize(
    "behave",
    [
        hang,
        forever(b"", OK[:1], pause=60),
        forever(OK + b"X-Drip: ", b"x", pause=0.02),
        forever(OK, b"X: y\r\n", pause=0.02),
        forever(b"", b"HTTP/1.1 102 Processing\r\n\r\n", pause=0.02),
        forever(OK + b"Content-Length: 60000\r\n\r\n", b"x", pause=0.02),
        forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", pause=0.02),
        forever(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", pause=0.02),
        forever(OK + b"\r\n", b"x", pause=0.02),
        forever(OK + b"Content-Length: 5\r\n\r\nfour", b"", pause=60),
    ],
    ids=[
        "hangs",
        "one byte",
        "drips a header",
        "drips headers",
        "drips interim answers",
        "drips a body",
        "drips chunks",
        "drips trailers",
        "drips until the end of the connection",
        "keeps the last byte back",
    ],
)
async def test_f27_the_deadline_holds_however_slowly_an_answer_comes(behave: Behaviour) -> None:
    answer, receiver = await post_once(behave, SHORT)
    assert (answer.outcome, answer.taken) == ("timeout", False)
    assert receiver.requests <= 1


async def test_f27_a_tls_handshake_that_never_comes() -> None:
    async with receiving(hang) as receiver, sender(SHORT_TO_CONNECT) as poster:
        answer = await post(poster, receiver.url.replace("http://", "https://"))
    assert answer.outcome == "timeout"


async def test_f27_those_that_hang_hold_up_no_other() -> None:
    takes = saying(OK + b"Content-Length: 0\r\n\r\n")
    async with receiving(hang) as hanging, receiving(takes, then_close=False) as good, sender(at_once=64) as poster:
        waiting = [asyncio.create_task(post(poster, hanging.url)) for _ in range(16)]
        async with hanging.changed:
            await hanging.changed.wait_for(lambda: hanging.requests == len(waiting))
        assert [(await post(poster, good.url)).outcome for _ in range(20)] == [200] * 20
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize(
    "behave",
    [
        forever(OK, b"X-Endless: header\r\n"),
        forever(OK + b"X-Endless: ", b"x"),
        forever(OK, b"x"),
        forever(b"HTTP/1.1 200 ", b"x"),
        forever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        forever(OK + b"Content-Length: 1073741824\r\n\r\n", b"x"),
        forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"8000\r\n" + b"x" * 0x8000 + b"\r\n"),
        forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 1000 + b"\r\nx\r\n"),
        forever(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Endless: trailer\r\n"),
        forever(OK + b"\r\n", b"x"),
    ],
    ids=[
        "headers",
        "a header",
        "a header's name",
        "a reason",
        "interim answers",
        "a body",
        "chunks",
        "chunk extensions",
        "trailers",
        "until the end of the connection",
    ],
)
async def test_b26_a_gigabyte_is_not_read(behave: Behaviour) -> None:
    answer, receiver = await post_once(behave)
    assert (answer.outcome, answer.taken) == ("answer-too-large", False)
    assert receiver.sent < KERNEL_BYTES
    assert receiver.requests == 1


@pytest.mark.parametrize(("more", "outcome"), [(0, 200), (1, "answer-too-large")])
async def test_b26_a_body_at_the_limit_and_one_byte_beyond(more: int, outcome: int | str) -> None:
    size = BODY_LIMIT_BYTES + more
    answer, _ = await post_once(saying(OK + f"Content-Length: {size}\r\n\r\n".encode() + b"x" * size))
    assert answer.outcome == outcome


@pytest.mark.parametrize(("more", "outcome"), [(0, 200), (1, "answer-too-large")])
async def test_b26_headers_at_the_limit_and_one_byte_beyond(more: int, outcome: int | str) -> None:
    """Header lines as they stand on the wire, each with its line end; small ones, so that no limit on one line comes first."""
    line = b"X-Filling: " + b"x" * 115 + b"\r\n"
    assert len(line) * 128 == HEADERS_LIMIT_BYTES
    last = b"X-Filling: " + b"x" * (115 + more - len(b"Content-Length: 0\r\n")) + b"\r\n"
    answer, _ = await post_once(saying(OK + line * 127 + last + b"Content-Length: 0\r\n", b"\r\n"))
    assert answer.outcome == outcome


@pytest.mark.parametrize(("times", "outcome"), [(3, 200), (2_000, "answer-too-large")])
async def test_b26_interim_answers_count_as_headers(times: int, outcome: int | str) -> None:
    """Of 2,000 each is small, and all of them, some 50 KiB, less than an answer may have in all."""
    interim = b"HTTP/1.1 103 Hints\r\n\r\n" * times
    answer, _ = await post_once(saying(interim + OK + b"Content-Length: 0\r\n\r\n"))
    assert answer.outcome == outcome


async def test_b26_many_headers_and_a_long_one_below_the_limit() -> None:
    """As real receivers send them: a long policy, and many short lines."""
    answer, _ = await post_once(
        saying(OK + b"Content-Security-Policy: " + b"p" * 9000 + b"\r\n" + b"X: y\r\n" * 300 + b"Content-Length: 0\r\n\r\n")
    )
    assert answer.outcome == 200


async def test_what_comes_unasked_on_an_idle_connection_is_cut_off() -> None:
    """An answer that took the message leaves the connection open; what floods it then is not stored either."""
    flooded = asyncio.Event()

    async def flood(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        await receiver.write(writer, OK + b"Content-Length: 0\r\n\r\n")
        if receiver.requests == 1:
            try:
                await forever(b"", OK + b"Content-Length: 0\r\n\r\n")(receiver, writer)
            finally:
                flooded.set()

    async with receiving(flood, then_close=False) as receiver, sender() as poster:
        assert (await post(poster, receiver.url)).outcome == 200
        await flooded.wait()
        assert receiver.sent < KERNEL_BYTES
        assert (await post(poster, receiver.url)).outcome == 200
        assert (receiver.requests, receiver.connections) == (2, 2)


async def test_a_compressed_answer_stays_compressed() -> None:
    """A bomb: 64 MiB of zeros in 64 KiB."""
    bomb = gzip.compress(bytes(64 * 2**20), compresslevel=9)
    assert len(bomb) < BODY_LIMIT_BYTES + 300
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb[:60_000])}\r\n\r\n".encode()
    answer, receiver = await post_once(saying(OK + head + bomb[:60_000]))
    assert answer.outcome == 200
    assert b"accept-encoding: identity" in receiver.last_request.lower()


@pytest.mark.parametrize(
    "said",
    [
        b"<html>HTTP/0.9 has no status</html>\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 2 OK\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/x.1 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        OK + b"No colon\r\n\r\n",
        OK + b"X: \x00\r\n\r\n",
        OK + b": x\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1e3\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfive5x\r\n0\r\n\r\n",
    ],
)
async def test_b26_what_is_no_answer_is_a_failure(said: bytes) -> None:
    """The connection stays open afterwards: it is what was said that fails, not that it ended."""

    async def say(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        await receiver.write(writer, said)
        await hang(receiver, writer)

    answer, receiver = await post_once(say)
    assert (answer.outcome, answer.taken) == ("answer-malformed", False)
    assert receiver.requests == 1


@pytest.mark.parametrize(
    "behave",
    [
        saying(),
        saying(b"HTTP/1.1 200"),
        saying(OK),
        saying(OK + b"Content-Length: 10\r\n\r\n", b"five5"),
        saying(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfi"),
        saying(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfive5\r\n"),
        reset,
        then(saying(OK), reset),
        then(saying(OK + b"Content-Length: 10\r\n\r\n", b"five5"), reset),
    ],
    ids=[
        "nothing",
        "half a line",
        "no end of headers",
        "half a body",
        "half a chunk",
        "no last chunk",
        "reset",
        "reset in headers",
        "reset in body",
    ],
)
async def test_f28_a_connection_that_ends_early_is_a_failure_and_the_sender_is_told(behave: Behaviour) -> None:
    """The receiver has processed the message, which only the sender's next attempt, with the same id, finds out: none is made here."""
    answer, receiver = await post_once(behave)
    assert (answer.outcome, answer.taken) == ("connection-lost", False)
    assert (receiver.requests, receiver.connections) == (1, 1)


async def test_nobody_there() -> None:
    async with receiving(hang) as receiver:
        url = receiver.url
    async with sender() as poster:
        assert (await post(poster, url)).outcome == "connect-failed"


async def test_a_receiver_that_speaks_no_tls() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, sender() as poster:
        answer = await post(poster, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert answer.outcome == "tls-failed"


REFUSING = [101, 300, 302, 400, 401, 404, 410, 429, 500, 503, 599, 600, 999]


@pytest.mark.parametrize("status", REFUSING)
async def test_what_does_not_take_the_message_is_told_by_its_status_however_much_follows(status: int) -> None:
    """The body of a refusal is not read: it cannot hide that an endpoint is gone (410). Headers and too much body come at once."""
    head = f"HTTP/1.1 {status} No\r\nRetry-After: 120\r\nContent-Length: 1073741824\r\n\r\n".encode()
    answer, receiver = await post_once(forever(head + b"x" * 100_000, b"x"))
    assert (answer.outcome, answer.taken, answer.retry_after) == (status, False, "120")
    assert receiver.sent < KERNEL_BYTES


@pytest.mark.parametrize("status", [*REFUSING[1:], 304])
async def test_nor_does_it_matter_how_the_body_of_a_refusal_goes_on(status: int) -> None:
    head = f"HTTP/1.1 {status} No\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    answer, _ = await post_once(then(saying(head), hang))
    assert (answer.outcome, answer.taken) == (status, False)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_2xx_takes_the_message(status: int) -> None:
    answer, _ = await post_once(saying(f"HTTP/1.1 {status} Taken\r\nContent-Length: 0\r\n\r\n".encode()))
    assert (answer.outcome, answer.taken, answer.retry_after) == (status, True, None)
    assert answer.took_seconds >= 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"120", "120"),
        (b"-5", "-5"),
        (b"1000000000", "1000000000"),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT"),
        (b"", None),
        (b"9" * 65, None),
        ("٣٠".encode(), None),
        (b"\xff", None),
        (b"1\t2", None),
    ],
)
async def test_f30_retry_after_is_kept_as_it_was_sent_if_it_can_be_one(sent: bytes, kept: str | None) -> None:
    answer, _ = await post_once(saying(b"HTTP/1.1 429 Slow\r\nRetry-After: " + sent + b"\r\nContent-Length: 0\r\n\r\n"))
    assert (answer.outcome, answer.retry_after) == (429, kept)


async def test_each_key_signs_the_same_attempt() -> None:
    """Two keys while one is being replaced: each verifies by itself, over the bytes that arrived."""
    old, new, private = KEY, SharedSecret(b"another-another-another-another-"), PrivateKey.generate()
    now = system_now()
    async with receiving(saying(OK + b"Content-Length: 0\r\n\r\n")) as receiver, sender() as poster:
        assert (await poster.post(receiver.url, [old, new, private], "msg_keys", now, BODY)).taken
    head, _, body = receiver.last_request.partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    headers = [(name, value) for name, value in lines]
    for key in (old, new, private.public):
        assert verify(headers, body, [key], now).id == "msg_keys"


async def test_connections_serve_again() -> None:
    async with receiving(saying(OK + b"Content-Length: 2\r\n\r\nok"), then_close=False) as receiver, sender() as poster:
        assert [(await post(poster, receiver.url)).outcome for _ in range(5)] == [200] * 5
        assert receiver.connections == 1
