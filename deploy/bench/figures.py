"""From what the rounds measured to the figures that are printed: medians over rounds, ratios within a round first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.bench.builds import BUILDS

MUCH_SPREAD = 1.5
"""A machine whose speed moved by more than this between rounds measures little."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How long an empty loop took at the beginning of a round."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Groups:
    """Commits per second at the same number of writers."""

    grouped: float
    one_by_one: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds: `handoff` from the answer to the event at a receiver, `post` from the request to the answer."""

    handoff_p50_ms: float
    handoff_p99_ms: float
    post_p50_ms: float
    post_p99_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One build in one round."""

    cases: int
    cases_per_second: float
    latency: Latency
    cpu_ms_per_case: Mapping[str, float]
    """Processor time of each process, at full speed."""


@dataclass(frozen=True, slots=True)
class Round:
    """All builds in one round."""

    calibration: Calibration
    groups: Groups
    measured: Mapping[str, Measured]

    def ratios(self) -> dict[str, float]:
        """Return what this round says of kapcare beside the others."""
        ours, raw, textbook = self.measured["ours"], self.measured["raw"], self.measured["textbook"]
        return {
            "throughput_ratio": ours.cases_per_second / raw.cases_per_second,
            "over_textbook": ours.cases_per_second / textbook.cases_per_second,
            "handoff_p99_ratio": ours.latency.handoff_p99_ms / raw.latency.handoff_p99_ms,
            "group_commit_ratio": self.groups.grouped / self.groups.one_by_one,
        }


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the value that this percentage of the values does not exceed."""
    return ascending[max(0, -int(-len(ascending) * percent // 100) - 1)]


def summarise(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return everything as one JSON object."""
    each = [one.ratios() for one in rounds]
    calibrations = [one.calibration.seconds for one in rounds]
    return {
        **{name: round(median(ratios[name] for ratios in each), 3) for name in each[0]},
        "builds": {build.name: _of_build(rounds, build.name) for build in BUILDS},
        "group_commit": {
            "grouped_per_second": _middle([one.groups.grouped for one in rounds]),
            "one_by_one_per_second": _middle([one.groups.one_by_one for one in rounds]),
        },
        "rounds": len(rounds),
        "calibration": {
            "seconds": [round(seconds, 4) for seconds in calibrations],
            "spread": round(max(calibrations) / min(calibrations), 2),
        },
        "ratios_per_round": [{name: round(ratio, 3) for name, ratio in ratios.items()} for ratios in each],
    }


def _of_build(rounds: Sequence[Round], name: str) -> dict[str, Any]:
    measured = [one.measured[name] for one in rounds]
    latencies = [asdict(one.latency) for one in measured]
    return {
        "cases_per_second": _middle([one.cases_per_second for one in measured], 1),
        **{field: _middle([latency[field] for latency in latencies]) for field in latencies[0]},
        "cpu_ms_per_case": {
            process: _middle([one.cpu_ms_per_case[process] for one in measured], 3) for process in measured[0].cpu_ms_per_case
        },
        "cases": [one.cases for one in measured],
        "cases_per_second_per_round": [round(one.cases_per_second, 1) for one in measured],
    }


def _middle(values: Sequence[float], digits: int = 2) -> float:
    return round(median(values), digits)


def show(summary: Mapping[str, Any], console: Console) -> None:
    """Print the summary for people."""
    table = Table(box=None, pad_edge=False, title="POST screening to ledger", title_justify="left")
    for heading in ("build", "cases/s", "hand-off p50 / p99 ms", "POST p50 / p99 ms", "CPU ms/case"):
        table.add_column(heading, justify="left" if heading == "build" else "right")
    for build in BUILDS:
        figures = summary["builds"][build.name]
        table.add_row(
            build.title,
            f"{figures['cases_per_second']:,.0f}",
            f"{figures['handoff_p50_ms']:.1f} / {figures['handoff_p99_ms']:.1f}",
            f"{figures['post_p50_ms']:.1f} / {figures['post_p99_ms']:.1f}",
            f"{sum(figures['cpu_ms_per_case'].values()):.2f}",
        )
    console.print(table)
    commits = summary["group_commit"]
    console.print()
    console.print(f"kapcare to raw limit, throughput     {summary['throughput_ratio']:.2f}")
    console.print(f"kapcare to textbook, throughput      {summary['over_textbook']:.2f}")
    console.print(f"kapcare to raw limit, hand-off p99   {summary['handoff_p99_ratio']:.2f}")
    console.print(
        f"group commit to single inserts       {summary['group_commit_ratio']:.2f}"
        f"  ({commits['grouped_per_second']:,.0f} and {commits['one_by_one_per_second']:,.0f} commits/s)"
    )
    spread = summary["calibration"]["spread"]
    console.print(f"rounds {summary['rounds']}; the machine's speed moved by {spread:.2f} between rounds; nothing lost, nothing doubled")
    if spread > MUCH_SPREAD:
        console.print(f"more than {MUCH_SPREAD}: run it again on a quiet machine before believing these figures", style="yellow")
