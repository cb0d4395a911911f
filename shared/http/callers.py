"""Who calls: the bearer token of a request, and what the access decision says."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from starlette.requests import Request

from shared.access.decide import Permission, Principal, Resource, Verdict, decide
from shared.access.record import Asking, Seen
from shared.access.tokens import TokenRefused
from shared.http.problems import Problem
from shared.pathway.context import Actor
from shared.service.runtime import Runtime
from shared.webhooks.destinations import reaches

ASKING: Final = "kapcare.asking"
"""Where a request carries what becomes known of it."""
_CHALLENGE: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}
NOT_FOUND = Problem(404, "not-found", "There is no case of this id that you may see.")


async def authenticate(runtime: Runtime, request: Request) -> Principal:
    """Return who the bearer token speaks for; raises Problem 401."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise Problem(401, "token-missing", "Send one access token as `Authorization: Bearer`.", headers=_CHALLENGE)
    try:
        principal = await runtime.tokens.principal(token)
    except TokenRefused:
        raise Problem(401, "token-refused", "The access token is not valid here.", headers=_CHALLENGE) from None
    asking(request).principal = principal
    return principal


def asking(request: Request) -> Asking:
    """Return what is known of a request so far, to be added to: it is recorded before the answer leaves."""
    known: Asking = request.scope.setdefault(ASKING, Asking())
    return known


def saw(request: Request, stream: str, clinic: str = "", patient: str = "") -> None:
    """Note that the request is about a stream, whose clinic and patient may not be known: it is shown by the answer, or refused."""
    asking(request).seen[stream] = Seen(stream, clinic, patient)


def admit(request: Request, principal: Principal, permission: Permission, resource: Resource | None = None) -> None:
    """Raise Problem 403 or 404 unless the access decision allows it."""
    asking(request).permission = permission
    match decide(principal, permission, resource):
        case Verdict.FORBIDDEN:
            raise Problem(403, "role-may-not", "None of your roles may do this.")
        case Verdict.HIDDEN:
            raise NOT_FOUND
        case Verdict.EMERGENCY:
            asking(request).emergency = True
        case Verdict.ALLOWED:
            return


def actor_of(principal: Principal) -> Actor:
    """Return the principal as the actor of a decision."""
    return Actor(principal.subject, principal.roles, principal.organisation, principal.clinics)


def asked_by_query(request: Request) -> None:
    """Note that the query was read and holds nothing but what the route knows: it is recorded."""
    asking(request).query = True


def peer_of(request: Request) -> str | None:
    """Return the address of who calls, as text; None for what is no address, whatever a proxy passed on."""
    try:
        return str(reaches(ip_address(request.client.host if request.client is not None else "")))
    except ValueError:
        return None


def address_of(request: Request) -> bytes:
    """Return the packed address of who calls; of IPv6 its network of 64 bits, which one host may own. Empty if there is none."""
    try:
        address = reaches(ip_address(request.client.host if request.client is not None else ""))
    except ValueError:
        return b""
    return address.packed if address.version == 4 else address.packed[:8]
