"""The project's own documents: their links resolve, and the commands they name exist."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from deploy.cli.__main__ import app

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"\./kap ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)")
COMMANDS = getattr(get_command(app), "commands")  # noqa: B009 - a click group, whose class typer does not name
PATH = re.compile(r"`((?:shared|services|deploy|docs|tests)/[A-Za-z0-9_./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    local = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_exist(page: Path) -> None:
    named = PATH.findall(page.read_text())
    assert [path for path in named if "<" not in path and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    unknown = []
    for words in COMMAND.findall(page.read_text()):
        first, _, second = words.partition(" ")
        if first not in COMMANDS or (hasattr(COMMANDS[first], "commands") and second and second not in COMMANDS[first].commands):
            unknown.append(words)
    assert unknown == []


def test_nothing_names_a_place_of_work() -> None:
    """No machine paths and no registry hosts in what is committed as prose or configuration."""
    forbidden = re.compile(r"/work/|/root/|pypi\.org|registry\.npmjs|repo\.maven|files\.pythonhosted", re.IGNORECASE)
    files = [
        *PAGES,
        ROOT / "pyproject.toml",
        ROOT / "requirements.lock",
        ROOT / "deploy" / "requirements.lock",
        ROOT / "docker-compose.yml",
    ]
    assert [str(file.relative_to(ROOT)) for file in files if forbidden.search(file.read_text())] == []
