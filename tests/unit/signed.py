"""Keys, and a message signed with them: the example of the Standard Webhooks specification."""

from datetime import UTC, datetime

import pytest

from shared.webhooks.signing import (
    PrivateKey,
    SharedSecret,
    SigningKey,
    Unverified,
    VerifyingKey,
    sign,
    verify,
)

SPEC_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SPEC_TIMESTAMP = 1614265330
SPEC_BODY = b'{"test": 2432232314}'
SPEC_AT = datetime.fromtimestamp(SPEC_TIMESTAMP, UTC)

SECRET = SharedSecret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
PRIVATE = PrivateKey.parse("whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")
SVIX_PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
SVIX_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="

GOOD = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
"""The signature that the specification gives for its example."""

Headers = list[tuple[bytes, bytes]]


def raw(headers: dict[str, str]) -> Headers:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def signed(key: SigningKey = SECRET, body: bytes = SPEC_BODY, webhook_id: str = SPEC_ID, at: datetime = SPEC_AT) -> dict[str, str]:
    return sign(webhook_id, at, body, [key])


def reason(headers: Headers, body: bytes = SPEC_BODY, key: VerifyingKey = SECRET, now: datetime = SPEC_AT) -> str:
    with pytest.raises(Unverified) as refused:
        verify(headers, body, [key], now)
    return refused.value.reason
