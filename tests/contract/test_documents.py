"""docs/asyncapi.json and docs/events.md are what the code says, and the npm AsyncAPI parser accepts the document."""

import json
import subprocess
from pathlib import Path

import pytest

from deploy import documents
from shared.events.registry import BY_TYPE
from shared.pathway.policy import read_document
from shared.pathway.rules import RULES
from tests.contract.npm import install

WITHOUT_RULE = {
    "partner_answer_hours",
    "supply_reconcile_hours",
    "alert_acknowledge_minutes",
    "alert_escalate_minutes",
    "alert_levels",
    "emergency_acknowledge_minutes",
    "late_entry_minutes",
    "late_entry_grace_minutes",
}
"""Rows that say how long people may take, and no clinical rule."""
PARSER = "@asyncapi/parser@3.6.3"
CHECK = """
const { Parser } = require('@asyncapi/parser');
const { readFileSync } = require('fs');
new Parser().parse(readFileSync(process.argv[2], 'utf8')).then(({ document, diagnostics }) => {
  const errors = diagnostics.filter((one) => one.severity === 0);
  console.log(JSON.stringify({ errors, messages: document ? document.allMessages().all().length : 0 }));
});
"""


@pytest.mark.parametrize(
    ("name", "made"), [("asyncapi.json", documents.asyncapi), ("events.md", documents.events), ("rules.md", documents.rules)]
)
def test_document_is_what_the_code_says(name: str, made: object) -> None:
    assert callable(made)
    assert (documents.DOCS / name).read_text() == made(), "run `python -m deploy.documents`"


def test_each_rule_takes_its_numbers_from_rows_that_exist_and_no_row_serves_no_rule() -> None:
    named = {name for rule in RULES for name in rule.values}
    rows = set(read_document().values)
    assert named <= rows
    assert rows - named == WITHOUT_RULE


def test_every_type_stands_in_the_asyncapi_document() -> None:
    document = json.loads(documents.asyncapi())
    assert {message["name"] for message in document["components"]["messages"].values()} == set(BY_TYPE)


@pytest.fixture(scope="session")
def asyncapi_parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("asyncapi"), PARSER)


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_the_asyncapi_parser_accepts_the_document(asyncapi_parser: Path) -> None:
    (asyncapi_parser / "check.js").write_text(CHECK)
    document = documents.DOCS / "asyncapi.json"
    answer = subprocess.run(["node", "check.js", str(document)], cwd=asyncapi_parser, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    assert found["errors"] == []
    assert found["messages"] >= len(BY_TYPE)
