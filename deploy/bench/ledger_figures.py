"""What the ledger bench measured and found, for people."""

from collections.abc import Mapping
from typing import Any, Final

import typer

SHOWN: Final = 20
"""Missed mutations that are named; all of them are in the JSON."""


def show_ledger(summary: Mapping[str, Any]) -> None:
    """Print how fast the ledger is."""
    typer.echo(f"to a durable checkpoint {summary['entries_per_s']:,} entries/s; hash and fsync alone {summary['raw_per_s']:,};", nl=False)
    typer.echo(f" ratio {summary['raw_ratio']:.3f}")
    typer.echo(f"at {summary['steady_per_s']:,} entries/s a checkpoint covers each after p99 {summary['checkpoint_age_p99_s']:.2f} s")
    pages = ", ".join(f"{kind} {value:.1f}" for kind, value in summary["pages_p99_ms"].items())
    typer.echo(f"a page at {summary['entries']:,} entries, p99 in ms: {pages}")
    typer.echo(f"kap_verify.py: {summary['verify_s']:.1f} s, {summary['verify_million_s']:.1f} s for a million entries")


def show_mutations(summary: Mapping[str, Any]) -> None:
    """Print how many mutations each verifier found, and which it did not."""
    go = summary["mutations_found_go"]
    second = f"the Go verifier was not asked ({summary['no_second_verifier']})" if go is None else f"the Go verifier {go:,}"
    typer.echo(
        f"of {summary['mutations']:,} mutations (seed {summary['mutations_seed']}, {len(summary['mutations_by_kind'])} kinds)", nl=False
    )
    typer.echo(f" kap_verify.py found {summary['mutations_found_kap_verify']:,}, {second}; {summary['mutations_s']:.0f} s")
    missed = summary["mutations_missed"]
    for one in missed[:SHOWN]:
        typer.echo(f"missed: mutation {one}")
    if missed:
        more = f"{len(missed) - SHOWN:,} more; " if len(missed) > SHOWN else ""
        typer.echo(f"{more}see one again: ./kap bench ledger --entries 0 --mutations 1 --seed NUMBER")
