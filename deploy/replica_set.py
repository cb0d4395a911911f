"""Prepares a MongoDB server: a replica set of one, and the user that the services are. `python -m deploy.replica_set`.

For a fresh server whose administrator's URL is in KAPCARE_MONGO_ROOT_URL; safe to run again.
"""

import asyncio
import os
import sys
from collections.abc import Iterable
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from shared.events.topics import RECORDERS

NAME = "kapcare"
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.2

NOT_YET_INITIALIZED = 94
USER_ALREADY_EXISTS = 51003


async def prepare(root_url: str, member: str, user: str, password: str, databases: Iterable[str]) -> None:
    """Make the server a replica set known as `member`, with a user that may read and write these databases and no other."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(root_url, directConnection=True)
    async with client, asyncio.timeout(PATIENCE_SECONDS):
        await _initiate(client, member)
        while not (await client.admin.command("hello"))["isWritablePrimary"]:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(POLL_SECONDS)
        roles = [{"role": "readWrite", "db": database} for database in databases]
        try:
            await client.admin.command("createUser", user, pwd=password, roles=roles)
        except OperationFailure as error:
            if error.code != USER_ALREADY_EXISTS:
                raise
            await client.admin.command("updateUser", user, pwd=password, roles=roles)


def databases_of(prefix: str) -> list[str]:
    """Return the databases of the services."""
    parts = (*RECORDERS, *(f"{service}_access" for service in RECORDERS), "vault")
    return [f"{prefix}_{part}" for part in parts]


async def _initiate(client: AsyncMongoClient[dict[str, Any]], member: str) -> None:
    try:
        await client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        await client.admin.command("replSetInitiate", {"_id": NAME, "members": [{"_id": 0, "host": member}]})


def main() -> int:
    """Prepare the server that the environment names."""
    try:
        root_url, member = os.environ["KAPCARE_MONGO_ROOT_URL"], os.environ["KAPCARE_MONGO_MEMBER"]
        user, password = os.environ["KAPCARE_MONGO_USER"], os.environ["KAPCARE_MONGO_PASSWORD"]
    except KeyError as missing:
        print(f"{missing.args[0]} is not set", file=sys.stderr)
        return 2
    prefix = os.environ.get("KAPCARE_DATABASE_PREFIX", "kapcare")
    try:
        asyncio.run(prepare(root_url, member, user, password, databases_of(prefix)))
    except (PyMongoError, TimeoutError) as error:
        print(f"the database was not prepared: {str(error) or 'no primary in time'}", file=sys.stderr)
        return 1
    print(f"{member} is a writable primary, and {user} may use the databases of the services")
    return 0


if __name__ == "__main__":
    sys.exit(main())
