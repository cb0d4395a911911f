"""What an examination found, as a table for people or as one JSON object for programs."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.partner_kit.examination import Result

MARKS: Final = {"pass": "[green]pass[/]", "fail": "[red]FAIL[/]", "unseen": "[dim]not seen[/]"}
ADVISED: Final = "[yellow]advised[/]"


def print_table(results: Sequence[Result], console: Console) -> None:
    """Print a line for each check, then what to do about those that failed."""
    table = Table("check", "", "what was seen", box=None, pad_edge=False)
    for result in results:
        mark = ADVISED if result.finding.outcome == "fail" and not result.check.required else MARKS[result.finding.outcome]
        table.add_row(escape(result.check.says), mark, escape(result.finding.detail))
    console.print(table)
    failed = [result for result in results if result.finding.outcome == "fail"]
    if failed:
        console.print("\nWhat to do:")
    for result in failed:
        console.print(f"  {result.check.name}: {result.check.advice}", markup=False)
    console.print(f"\n{summary(results)}", markup=False)


def summary(results: Sequence[Result]) -> str:
    """Return the result in one line."""
    counted = Counter(result.finding.outcome for result in results)
    failures = sum(result.is_failure for result in results)
    advised = counted["fail"] - failures
    words = [f"{counted['pass']} pass"]
    words += [f"{failures} required fail"] if failures else []
    words += [f"{advised} advised fail"] if advised else []
    words += [f"{counted['unseen']} could not be seen"] if counted["unseen"] else []
    return f"{'NOT READY' if failures else 'ready'}: {', '.join(words)}"


def as_json(results: Sequence[Result], url: str, signing: str) -> dict[str, Any]:
    """Return everything that was found."""
    return {
        "ok": not any(result.is_failure for result in results),
        "url": url,
        "signing": signing,
        "checks": [
            {
                "name": result.check.name,
                "says": result.check.says,
                "required": result.check.required,
                "outcome": result.finding.outcome,
                "detail": result.finding.detail,
                "advice": result.check.advice if result.finding.outcome == "fail" else None,
            }
            for result in results
        ],
    }
