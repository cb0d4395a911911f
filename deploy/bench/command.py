"""`kap bench`: the benchmarks."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from deploy.cli.options import AsJson

Measured = TypeVar("Measured")

bench = typer.Typer(help="Benchmarks: ratios measured side by side in one run.", no_args_is_help=True)


@bench.callback()
def group() -> None:
    """Benchmarks: ratios measured side by side in one run."""


@bench.command()
def domain(
    rounds: Annotated[int, typer.Option(help="How often each part is done; medians are shown.", min=10, max=100_000)] = 500,
    as_json: AsJson = False,
) -> None:
    """What a decision on a case of 200 events costs in domain code: fold and decide, without any I/O."""
    from deploy.bench.domain import EVENTS
    from deploy.bench.domain import measure as measure_domain

    decided = measure_domain(rounds)
    if as_json:
        figures = {"decision_ms": decided.decision_ms, "fold_ms": decided.fold_ms, "decide_ms": decided.decide_ms}
        typer.echo(json.dumps({name: round(value, 4) for name, value in figures.items()} | {"events": EVENTS, "rounds": decided.rounds}))
    else:
        typer.echo(
            f"a case of {EVENTS} events: fold {decided.fold_ms:.3f} ms + decide {decided.decide_ms:.3f} ms = {decided.decision_ms:.3f} ms"
        )


@bench.command()
def stop(
    stops: Annotated[int, typer.Option(help="Stops of each of three kinds.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """From a hold, a withdrawal or the recall of a lot to the last service that refuses, with every service up."""
    from deploy.bench.stop import measure, summarise

    progress = Console(stderr=True, highlight=False)
    try:
        with progress.status("starting the stack") as status:
            measured = asyncio.run(_until_told_to_stop(measure(stops, status.update)))
    except asyncio.CancelledError:
        raise typer.Exit(130) from None
    summary = summarise(measured)
    if as_json:
        typer.echo(json.dumps(summary))
        return
    for kind, figures in {**summary["kinds"], "all": summary}.items():
        typer.echo(f"{kind:<12} last service refuses after p50 {figures['stop_p50_ms']:.0f} ms, p99 {figures['stop_p99_ms']:.0f} ms")


@bench.command()
def webhooks(
    rounds: Annotated[int, typer.Option(help="Medians over so many rounds are shown.", min=1, max=50)] = 5,
    seconds: Annotated[float, typer.Option(help="About how long each measurement takes.", min=0.5, max=120)] = 6.0,
    as_json: AsJson = False,
) -> None:
    """From a commit to the partner's receipt: healthy alone, beside endpoints that never answer, and the bare loop of the same client."""
    from deploy.bench.webhooks import measure as measure_webhooks
    from deploy.bench.webhooks import summarise as summarise_webhooks

    progress = Console(stderr=True, highlight=False)
    try:
        with progress.status("starting") as status:
            measured = asyncio.run(_until_told_to_stop(measure_webhooks(rounds, seconds, status.update)))
    except asyncio.CancelledError:
        raise typer.Exit(130) from None
    summary = summarise_webhooks(measured)
    if as_json:
        typer.echo(json.dumps(summary))
        return
    typer.echo(f"deliveries/s {summary['deliveries_per_s']:,}; bare loop {summary['raw_per_s']:,}; ratio {summary['throughput_ratio']:.2f}")
    for what in ("healthy_alone", "healthy_beside_black_holes"):
        p50, p99 = summary[f"{what}_p50_ms"], summary[f"{what}_p99_ms"]
        typer.echo(f"commit to receipt, {what.replace('_', ' ')}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    typer.echo(f"p99 beside black holes to p99 alone {summary['healthy_p99_ratio']:.2f}")


@bench.command()
def ledger(
    entries: Annotated[
        int,
        typer.Option(help="How many entries the ledger has in the end, 20,000 or more; 0 leaves its speed out.", min=0, max=100_000_000),
    ] = 1_000_000,
    mutations: Annotated[
        int, typer.Option(help="How many mutations of a ledger both verifiers must find; 0 leaves them out.", min=0, max=100_000_000)
    ] = 100_000,
    seed: Annotated[int, typer.Option(help="The number of the first mutation; each number is a mutation.", min=0)] = 1,
    as_json: AsJson = False,
) -> None:
    """From appending to a signed checkpoint, pages of a large ledger, its verification, and what two verifiers find of its mutations.

    Fails where a mutation was missed, or named otherwise than it must be; `--entries 0 --mutations 1 --seed N` makes that one again.
    """
    from deploy.bench.ledger import LEAST_ENTRIES
    from deploy.bench.ledger import measure as measure_ledger
    from deploy.bench.ledger import summarise as summarise_ledger
    from deploy.bench.ledger_figures import show_ledger, show_mutations
    from deploy.bench.mutations import mutate
    from deploy.bench.mutations import summarise as summarise_mutations

    if 0 < entries < LEAST_ENTRIES:
        raise typer.BadParameter(f"0, or {LEAST_ENTRIES:,} or more", param_hint="--entries")
    progress = Console(stderr=True, highlight=False)
    summary: dict[str, Any] = {}
    try:
        with progress.status("starting") as status:
            if entries:
                summary |= summarise_ledger(asyncio.run(_until_told_to_stop(measure_ledger(entries, status.update))))
            if mutations:
                summary |= summarise_mutations(asyncio.run(_until_told_to_stop(mutate(mutations, seed, status.update))))
    except asyncio.CancelledError:
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        if entries:
            show_ledger(summary)
        if mutations:
            show_mutations(summary)
    if summary.get("mutations_missed"):
        raise typer.Exit(1)


async def _until_told_to_stop(work: Coroutine[Any, Any, Measured]) -> Measured:
    measuring = asyncio.ensure_future(work)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, measuring.cancel)
    await asyncio.wait([measuring])
    return measuring.result()


@bench.command()
def pathway(
    rounds: Annotated[int, typer.Option(help="Each build is measured once in each round.", min=1, max=50)] = 5,
    seconds: Annotated[float, typer.Option(help="About how long each measurement takes.", min=0.5, max=120)] = 8.0,
    profile: Annotated[
        Path | None, typer.Option(help="Write a cProfile of each service of kapcare to this folder; figures suffer.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """From the POST of a screening to the ledger: kapcare, the raw limit of its parts, and what most would build."""
    # Here, so that other commands need not wait for what the benches import.
    from deploy.bench.figures import show, summarise
    from deploy.bench.pathway import Options, measure

    if profile is not None:
        profile.mkdir(parents=True, exist_ok=True)
        profile = profile.resolve()
    progress = Console(stderr=True, highlight=False)

    try:
        with progress.status("starting") as status:
            measured = asyncio.run(_until_told_to_stop(measure(Options(rounds, seconds, profile), status.update)))
    except asyncio.CancelledError:
        raise typer.Exit(130) from None
    summary = summarise(measured)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        show(summary, Console(highlight=False, soft_wrap=True))
