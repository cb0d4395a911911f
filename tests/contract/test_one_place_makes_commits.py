"""All commits of cases are made in one place, where each is completed with what follows whatever the cause was (`StreamKind.complete`).

So a new command, reaction, deadline or background task cannot forget what organisations must be told of a case. The streams in which
processes tell who accessed what have no state, and nothing follows from them.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_commits_are_made_in_one_place() -> None:
    files = sorted(path for folder in ("services", "shared") for path in (ROOT / folder).glob("**/*.py"))
    assert [str(file.relative_to(ROOT)) for file in files if _makes_a_commit(file.read_text())] == [
        "shared/log/decisions.py",
        "shared/service/access_stream.py",
    ]


def _makes_a_commit(source: str) -> bool:
    if "Commit(" not in source:
        return False
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return any(isinstance(called, ast.Name) and called.id == "Commit" for called in calls)
