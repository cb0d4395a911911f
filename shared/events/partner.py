"""Events of the stream of a prescriber organisation: its terms, where it is told, with which keys, and what it was told of a case.

Secrets are in the sealed data alone: an answer shows one when it is made, and nothing shows it again.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime, Field, SecretStr, StringConstraints, field_serializer
from typing_extensions import override

from shared.events.base import EventData, Slug, Text

FIRST_ENDPOINT: Final[Slug] = "main"
"""The endpoint that a registration with a `webhook_url` makes."""

State = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""A state, district or territory of the United States, by its postal code."""
EventName = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)+$", max_length=64)]
"""What a webhook says happened, such as `kapcare.review.assigned`."""


class _WithSecret(EventData):
    """An event that carries a secret, which is written only into sealed data."""

    @field_serializer("webhook_secret", "client_secret", when_used="json", check_fields=False)
    def _reveal_for_sealing(self, secret: SecretStr | None) -> str | None:
        return None if secret is None else secret.get_secret_value()


class PartnerRegistered(_WithSecret):
    """A prescriber organisation was registered; with `webhook_url` and `webhook_secret` it has its first endpoint."""

    TYPE: ClassVar[str] = "kapcare.prescriber.PartnerRegistered.v1"
    partner: Slug
    name: Text
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    """`whsec_` and base64: signs what we send to the first endpoint."""
    decision_key: str
    """`whpk_` and base64, the partner's ed25519 public key for signed decisions."""
    licensed_states: tuple[State, ...] = ()
    capacity: Annotated[int, Field(ge=0)] | None = None
    answer_hours: Annotated[int, Field(ge=1)] | None = None
    sandbox: bool = False


class PartnerTermsChanged(EventData):
    """What the organisation undertakes: where its prescribers are licensed, how many open reviews it takes, how soon it answers."""

    TYPE: ClassVar[str] = "kapcare.prescriber.PartnerTermsChanged.v1"
    partner: Slug
    licensed_states: tuple[State, ...] = ()
    """Empty: none is stated, and none is asked for where the clinic's own state is not stated."""
    capacity: Annotated[int, Field(ge=0)] | None = None
    """Open reviews at a time; None: as many as there are."""
    answer_hours: Annotated[int, Field(ge=1)] | None = None
    """Within how many hours it answers; None, or more than the policy allows: what the policy says."""


class PartnerActivated(EventData):
    """An organisation left the sandbox: reviews of patients are assigned to it from now on."""

    TYPE: ClassVar[str] = "kapcare.prescriber.PartnerActivated.v1"
    partner: Slug
    activated_at: AwareDatetime


class PartnerLeft(EventData):
    """An organisation left the network: nothing more is sent to it or taken from it, and its open reviews go to others."""

    TYPE: ClassVar[str] = "kapcare.prescriber.PartnerLeft.v1"
    partner: Slug
    reason: Text
    left_at: AwareDatetime


class PartnerReturned(EventData):
    """An organisation that had left is back."""

    TYPE: ClassVar[str] = "kapcare.prescriber.PartnerReturned.v1"
    partner: Slug
    returned_at: AwareDatetime


class EndpointAdded(_WithSecret):
    """The organisation is told here as well, from now on."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EndpointAdded.v1"
    partner: Slug
    endpoint: Slug
    webhook_url: str
    events: tuple[EventName, ...] = ()
    """What is sent here; empty: everything."""
    webhook_secret: SecretStr
    """`whsec_` (signs `v1`) or `whsk_` (signs `v1a`) and base64."""
    added_at: AwareDatetime | None = None
    """What happened before is not sent here; None: not known."""


class EndpointChanged(EventData):
    """The endpoint has another address or takes other events; its sequence goes on."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EndpointChanged.v1"
    partner: Slug
    endpoint: Slug
    webhook_url: str
    events: tuple[EventName, ...] = ()
    changed_at: AwareDatetime | None = None
    """What happened before is not sent here if it is of a type that was not taken then; None: not known."""


class EndpointPaused(EventData):
    """Nothing is sent until it is resumed; what becomes due waits, in order, without an attempt."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EndpointPaused.v1"
    partner: Slug
    endpoint: Slug


WhyDisabled = Literal["by-admin", "gone", "failing"]
"""`gone`: the endpoint answered 410. `failing`: it took nothing for days."""


class EndpointDisabled(EventData):
    """Nothing is sent until it is resumed; the sequence goes on, and the organisation can fetch what it missed."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EndpointDisabled.v1"
    partner: Slug
    endpoint: Slug
    why: WhyDisabled
    disabled_at: AwareDatetime


class EndpointResumed(EventData):
    """A paused or disabled endpoint is sent to again, from where it stood."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EndpointResumed.v1"
    partner: Slug
    endpoint: Slug


class EndpointRemoved(EventData):
    """Nothing more becomes due here, and what was is not sent."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EndpointRemoved.v1"
    partner: Slug
    endpoint: Slug


class EndpointSecretRotated(_WithSecret):
    """The endpoint has a new secret; what is sent is signed with the one before too, until it ends."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EndpointSecretRotated.v1"
    partner: Slug
    endpoint: Slug
    webhook_secret: SecretStr
    earlier_until: AwareDatetime
    """When those before it end, by system time."""


class EndpointSecretsRevoked(EventData):
    """Every secret of the endpoint but the newest ended now."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EndpointSecretsRevoked.v1"
    partner: Slug
    endpoint: Slug


class DecisionKeyAdded(EventData):
    """The organisation signs decisions with this key too."""

    TYPE: ClassVar[str] = "kapcare.prescriber.DecisionKeyAdded.v1"
    partner: Slug
    decision_key: str


class DecisionKeyRevoked(EventData):
    """Nothing signed with this key is taken any more; what was decided with it stands."""

    TYPE: ClassVar[str] = "kapcare.prescriber.DecisionKeyRevoked.v1"
    partner: Slug
    decision_key: str
    reason: Text


class CredentialIssued(_WithSecret):
    """The organisation may get access tokens with this client id and secret; of the secret, state keeps the SHA-256 alone."""

    TYPE: ClassVar[str] = "kapcare.prescriber.CredentialIssued.v1"
    partner: Slug
    credential: Slug
    client_id: str
    client_secret: SecretStr
    """`kcs_` and URL-safe base64 of 32 random bytes, which nobody can guess."""


class CredentialRevoked(EventData):
    """The credential and every token got with it ended now."""

    TYPE: ClassVar[str] = "kapcare.prescriber.CredentialRevoked.v1"
    partner: Slug
    credential: Slug


class PartnerTold(EventData):
    """An organisation is to be told of something about a case: in the case's stream, so that it can be proved who was told what."""

    TYPE: ClassVar[str] = "kapcare.prescriber.PartnerTold.v1"
    partner: Slug
    told: EventName
    request: int

    @property
    @override
    def recipient(self) -> str:
        """Who is told."""
        return self.partner


class TestEventAsked(EventData):
    """A test event is due to an endpoint; `example` sends an example review with it, of no patient."""

    __test__: ClassVar[bool] = False
    TYPE: ClassVar[str] = "kapcare.prescriber.TestEventAsked.v1"
    partner: Slug
    endpoint: Slug
    example: bool = False


class DeliveriesReplayed(EventData):
    """These deliveries are due again, whatever had become of them: the same ids and bodies, ten attempts each."""

    TYPE: ClassVar[str] = "kapcare.prescriber.DeliveriesReplayed.v1"
    partner: Slug
    endpoint: Slug
    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=1)]


class MessageQuarantined(EventData):
    """A validly signed message under a webhook id that stood for another message before: kept as it came, and acted on by nobody."""

    TYPE: ClassVar[str] = "kapcare.prescriber.MessageQuarantined.v1"
    partner: Slug
    webhook_id: str
    timestamp: int
    signature: str
    decision_key: str
    body: str
    """The bytes as they came, in base64: they need not be text."""
    received_at: AwareDatetime


EVENTS: tuple[type[EventData], ...] = (
    PartnerRegistered,
    PartnerTermsChanged,
    PartnerActivated,
    PartnerLeft,
    PartnerReturned,
    EndpointAdded,
    EndpointChanged,
    EndpointPaused,
    EndpointDisabled,
    EndpointResumed,
    EndpointRemoved,
    EndpointSecretRotated,
    EndpointSecretsRevoked,
    DecisionKeyAdded,
    DecisionKeyRevoked,
    CredentialIssued,
    CredentialRevoked,
    PartnerTold,
    TestEventAsked,
    DeliveriesReplayed,
    MessageQuarantined,
)
