"""`kap audit` and `kap witness` on a stack of the audit service alone: what an auditor types, and what comes of it."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from typer.testing import CliRunner

from deploy.cli.__main__ import app
from deploy.local.failure import StackError
from deploy.local.ports import free_port
from deploy.local.stack import LEDGER_INCONSISTENT, LocalStack
from services.audit import kap_verify
from tests.integration.ledger.kept import CASE, Kept, arrival, arrivals

pytestmark = pytest.mark.timeout(120)


async def kap(*words: str, folder: Path) -> Any:
    """One command against the stack of the folder."""
    return await asyncio.to_thread(CliRunner().invoke, app, [*words, "--data", str(folder)])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """Its ledger has 400 entries, of which three are of one case that the tests ask for, and those of its start and of who asked."""
    async with LocalStack(tmp_path_factory.mktemp("ledger"), port_base=free_port(), services=("audit",)) as made:
        async with client_of(made) as kept:
            await kept.append([arrival(1), *arrivals(397), arrival(2), arrival(1, service="session")])
            await kept.signed(401, or_more=True)
        yield made


class client_of:  # noqa: N801 - reads as what it is
    """The ledger of a stack, seen from another process."""

    def __init__(self, stack: LocalStack) -> None:
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            stack.running.mongo, w="majority", journal=True, readConcernLevel="majority", tz_aware=True
        )

    async def __aenter__(self) -> Kept:
        return Kept(self._client["kapcare_audit"])

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


async def test_a_mirror_is_verified_offline(stack: LocalStack, tmp_path: Path) -> None:
    folder, directory = stack.data.root, tmp_path / "mirror"
    result = await kap("audit", "mirror", str(directory), folder=folder)
    held = re.search(r"holds the ledger of (\d+) entries", result.stdout)
    assert result.exit_code == 0, result.output
    assert held is not None
    assert int(held[1]) > 400
    vkey = (await kap("audit", "key", folder=folder)).stdout.strip()
    program = tmp_path / "kap_verify.py"
    program.write_text((await asyncio.to_thread(CliRunner().invoke, app, ["audit", "verifier"])).stdout)
    alone = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-I", str(program), "tiles", str(directory), "--key", vkey], capture_output=True
    )
    assert (alone.returncode, alone.stdout.startswith(b"HOLDS")) == (0, True)
    told = await kap("audit", "verify", "--offline", str(directory), "--key", vkey, "--json", folder=tmp_path / "no stack here")
    assert (told.exit_code, json.loads(told.stdout)["size"]) == (0, int(held[1]))
    (directory / "tile/entries/000").write_bytes(b"\0\1x" * 256)
    told = await kap("audit", "verify", "--offline", str(directory), "--key", vkey, folder=folder)
    assert told.exit_code == 1
    assert told.stdout.startswith("NOT VERIFIED: Entry 0 was changed")


async def test_a_case_and_an_export_are_verified_by_their_proofs(stack: LocalStack, tmp_path: Path) -> None:
    folder, file, directory = stack.data.root, tmp_path / "case.ndjson", tmp_path / "mirror"
    told = await kap("audit", "verify", "--case", CASE, folder=folder)
    assert told.exit_code == 0, told.output
    assert "Each of the 3 entries of the export is in it" in told.stdout
    assert "only tiles show" in told.stdout
    assert "the key is the stack's own" in told.stdout
    await kap("audit", "mirror", str(directory), folder=folder)
    told = await kap("audit", "verify", "--case", CASE, "--offline", str(directory), folder=folder)
    assert "Nothing that the query asks for was left out" in told.stdout
    assert (await kap("audit", "export", "--case", CASE, "--to-file", str(file), folder=folder)).exit_code == 0
    assert len(file.read_text().splitlines()[1:]) == 3
    vkey = (await kap("audit", "key", folder=folder)).stdout.strip()
    assert kap_verify.main(["export", str(file), "--key", vkey]) == 0
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], *lines[3:]]))
    told = await kap("audit", "verify", "--export", str(file), "--key", vkey, "--json", folder=folder)
    assert (told.exit_code, json.loads(told.stdout)["reason"]) == (1, "case-chain-broken")


async def test_the_whole_is_verified_and_what_cannot_be_compared_is_said(stack: LocalStack, tmp_path: Path) -> None:
    """The services are not up here, so nobody can say that nothing of them is missing."""
    told = await kap("audit", "verify", "--mirror", str(tmp_path / "mirror"), "--json", folder=stack.data.root)
    assert told.exit_code == 1
    answer = json.loads(told.stdout)
    assert (answer["log"]["verdict"], answer["size"] > 400, answer["root_holds"], answer["entries_hold"]) == ("holds", True, True, True)
    assert answer["unreachable"] == ["intake", "prescriber", "session", "integration"]
    assert (tmp_path / "mirror" / "checkpoint").exists()
    words = (await kap("audit", "verify", folder=stack.data.root)).stdout
    assert re.match(r"NOT VERIFIED: The checkpoint of \d+ entries is signed by kapcare.local/ledger", words)
    assert "not compared: session could not be asked what it has" in words


async def test_another_key_is_refused(stack: LocalStack, tmp_path: Path) -> None:
    other = (await kap("audit", "key", folder=tmp_path / "another stack")).stdout.strip()
    told = await kap("audit", "verify", "--key", other, folder=stack.data.root)
    assert isinstance(told.exception, StackError)
    assert "not-signed-by-the-log" in str(told.exception)
    told = await kap("audit", "verify", "--case", CASE, "--key", other, folder=stack.data.root)
    assert (told.exit_code, told.stdout.startswith("NOT VERIFIED")) == (1, True)
    assert (await kap("audit", "mirror", str(tmp_path / "m"), "--key", "no key", folder=stack.data.root)).exit_code == 2


async def test_only_the_audit_service_has_the_signing_key(stack: LocalStack) -> None:
    seed = stack.data.secrets().ledger_signing_key
    environment = await asyncio.to_thread(Path(f"/proc/{stack.pid('audit')}/environ").read_bytes)
    assert seed.encode() in environment
    assert seed not in stack._environment.values()


async def test_a_stack_whose_ledger_is_inconsistent_starts_and_says_so(tmp_path: Path) -> None:
    """Care does not wait for the repair of the ledger."""
    said: list[str] = []

    def stack() -> LocalStack:
        return LocalStack(tmp_path, port_base=free_port(), services=("audit",), say=said.append)

    async with stack() as first, client_of(first) as kept:
        await kept.append(arrivals(20))
        await kept.signed(21, or_more=True)
        await kept.database["entries"].update_one({"_id": 19}, {"$set": {"entry": b"other"}})
    assert LEDGER_INCONSISTENT not in said
    async with stack():
        assert LEDGER_INCONSISTENT in said


async def test_a_stack_of_before_the_ledger_had_a_key_gets_one_and_keeps_the_others(tmp_path: Path) -> None:
    made = LocalStack(tmp_path).data
    before = made.secrets()
    file = made.root / "secrets.json"
    content = json.loads(file.read_text())
    del content["ledger_signing_key"]
    file.write_text(json.dumps(content))
    after = made.secrets()
    assert (after.vault_master_key, after.receipt_key) == (before.vault_master_key, before.receipt_key)
    assert after.ledger_signing_key != before.ledger_signing_key
    assert made.secrets() == after
