"""Two verifiers that share no code, over the same logs: what holds passes, and every mutation of it is found and named.

KAPCARE_LEDGER_MUTATIONS says how many (300 unless set), KAPCARE_LEDGER_FIRST the number of the first (0 unless set); the number is
the seed, so any of them can be seen again.
"""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bench.ledger_log import VKEY, Log, write
from deploy.bench.ledger_mutations import KINDS, Bench, Files, Found, Mutation, found, mutation
from deploy.bench.verifiers import Said, build_go_verifier
from deploy.local.failure import UnavailableError
from services.audit import kap_verify
from services.audit.domain.entry import read_entry
from tests.contract.ledger_bad_files import SIZE, bad_files, odd_entries, signed_size
from tests.contract.ledger_export_mutations import EXPORT_KINDS, QUESTIONS, ExportBench, export_mutation

MUTATIONS = int(os.environ.get("KAPCARE_LEDGER_MUTATIONS", "300"))
FIRST = int(os.environ.get("KAPCARE_LEDGER_FIRST", "0"))
SIZES = (5, 256, 700, 2900)
"""Within a tile, exactly one, a few, and more; two levels of tiles from 256 on."""
AT_ONCE = 100
VERIFIER = Path(kap_verify.__file__)

pytestmark = pytest.mark.timeout(120 + MUTATIONS // 4)


class Case(NamedTuple):
    """A directory, the file of a checkpoint that is held, and what must be said."""

    name: str
    directory: Path
    held: Path
    expected: Found


@pytest.fixture(scope="module")
def logs() -> list[Log]:
    return [Log.made_up(seed, size) for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def benches(logs: list[Log]) -> list[Bench]:
    return [Bench(log) for log in logs]


@pytest.fixture(scope="module")
def go_verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second verifier, built; skipped where there is no Go, or its module cannot be had."""
    try:
        return build_go_verifier(tmp_path_factory.mktemp("go"))
    except UnavailableError as unavailable:
        pytest.skip(str(unavailable))


def python_says(*arguments: str | Path) -> Said:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = kap_verify.main([*map(str, arguments), "--key", VKEY, "--json"])
    told = json.loads(output.getvalue())
    assert code == {"holds": 0, "does not hold": 1, "cannot be read": 2}[told["verdict"]]
    return Said(told["verdict"], told["reason"], told["index"])


def go_says(verifier: Path, cases: list[Case], root: Path) -> list[tuple[Case, Said]]:
    tasks = [{"directory": str(case.directory), "key": VKEY, "since": str(case.held)} for case in cases]
    (root / "list").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    run = subprocess.run([verifier, "-list", root / "list"], capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == (0 if all(one["verdict"] == "holds" for one in told) else 1), run.stderr
    said = [Said(one["verdict"], one.get("reason"), None if one["index"] < 0 else one["index"]) for one in told]
    return list(zip(cases, said, strict=True))


def lay_out(base: dict[str, bytes], kept: Path, changed: Files, directory: Path) -> None:
    """Lay out the files of a log with some changed; those that are not are links to the ones in `kept`."""
    for path in base.keys() - changed.keys():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).hardlink_to(kept / path)
    write({path: content for path, content in changed.items() if content is not None}, directory)


def mutated(benches: list[Bench], root: Path) -> Iterator[list[Case]]:
    """Yield mutations laid out as directories, some at once."""
    for bench in benches:
        write(bench.files, root / f"log-{bench.size}")
    numbers = range(FIRST, FIRST + MUTATIONS)
    for begin in range(0, MUTATIONS, AT_ONCE):
        batch = []
        for number in numbers[begin : begin + AT_ONCE]:
            bench = benches[number // len(KINDS) % len(benches)]
            one = mutation(bench, Random(number), number)
            case = Case(f"{number} {one.kind} of {bench.size}", root / f"mutation-{number}", root / f"held-{number}", one.expected)
            lay_out(bench.files, root / f"log-{bench.size}", one.files, case.directory)
            case.held.write_bytes(bench.log.checkpoint(one.held))
            batch.append(case)
        yield batch
        for case in batch:
            shutil.rmtree(case.directory)
            case.held.unlink()


def missed(told: Iterable[tuple[str, Said, Found]]) -> list[str]:
    """Return what was not found, or was named otherwise than it had to be."""
    return [
        f"{name}: {said} instead of {expected}"
        for name, said, expected in told
        if said.verdict == "holds" or not expected.covers(said.reason, said.at)
    ]


def intact(benches: list[Bench], root: Path) -> Iterator[Case]:
    """Yield unchanged logs with checkpoints of several sizes that are held."""
    for bench in benches:
        write(bench.files, root / f"{bench.size}")
        for held in sorted({1, 2, bench.size // 2, bench.size - 1, bench.size}):
            case = Case(f"{bench.size} since {held}", root / f"{bench.size}", root / f"{bench.size}-{held}", found())
            case.held.write_bytes(bench.log.checkpoint(held))
            yield case


def test_what_holds_holds(benches: list[Bench], tmp_path: Path) -> None:
    for case in intact(benches, tmp_path):
        assert python_says("tiles", case.directory, "--since", case.held) == Said("holds", None, None), case.name
        newer = case.directory / "checkpoint"
        assert python_says("checkpoint", newer, "--since", case.held, "--tiles", case.directory).verdict == "holds", case.name


def test_what_holds_holds_in_go(benches: list[Bench], tmp_path: Path, go_verifier: Path) -> None:
    assert {said for _, said in go_says(go_verifier, list(intact(benches, tmp_path)), tmp_path)} == {Said("holds", None, None)}


def laid_out(bench: Bench, mutations: Mapping[str, Mutation], root: Path) -> Iterator[Case]:
    """Yield these mutations of one log as directories."""
    write(bench.files, root / "log")
    for number, (name, one) in enumerate(mutations.items()):
        case = Case(name, root / f"{number}", root / f"{number}-held", one.expected)
        lay_out(bench.files, root / "log", one.files, case.directory)
        case.held.write_bytes(bench.log.checkpoint(one.held))
        yield case


def odd_cases(root: Path) -> Iterator[Case]:
    """Yield logs that signed something odd, with intact checkpoints, and checkpoints that say another size, or hold nothing."""
    for number, (name, (entries, expected)) in enumerate(odd_entries().items()):
        log = Log(entries)
        case = Case(name, root / f"odd-{number}", root / f"odd-{number}-held", expected)
        write(log.files(len(entries)), case.directory)
        case.held.write_bytes(log.checkpoint(1))
        yield case
    log = Log.made_up(1, 300)
    for size, held, expected in (
        (299, 1, found("root-differs")),
        (301, 1, found("tile-missing", index=256)),
        (10**17, 1, found("tile-missing", "entries-missing", index=256)),
        (300, 0, found("size-zero")),
    ):
        case = Case(f"size {size} since {held}", root / f"size-{size}-{held}", root / f"size-{size}-{held}-held", expected)
        write({**log.files(300), **log.files(299), "checkpoint": signed_size(log, size)}, case.directory)
        case.held.write_bytes(log.checkpoint(held))
        yield case


def test_every_bad_file_is_refused_with_its_reason(benches: list[Bench], tmp_path: Path) -> None:
    cases = [*laid_out(benches[SIZES.index(SIZE)], bad_files(benches[SIZES.index(SIZE)]), tmp_path), *odd_cases(tmp_path)]
    assert missed((case.name, python_says("tiles", case.directory, "--since", case.held), case.expected) for case in cases) == []


def test_every_bad_file_is_refused_with_its_reason_in_go(benches: list[Bench], tmp_path: Path, go_verifier: Path) -> None:
    cases = [*laid_out(benches[SIZES.index(SIZE)], bad_files(benches[SIZES.index(SIZE)]), tmp_path), *odd_cases(tmp_path)]
    assert missed((case.name, said, case.expected) for case, said in go_says(go_verifier, cases, tmp_path)) == []


def test_a_full_tile_serves_for_a_partial_one(benches: list[Bench], tmp_path: Path, go_verifier: Path) -> None:
    """As tlog-tiles wants it of readers: a log may take partial tiles away once the full ones are there."""
    log = benches[SIZES.index(700)].log
    files = {path: content for path, content in log.files(700).items() if ".p/" not in path or path.startswith("tile/1")}
    write({**files, **{path: content for path, content in log.files(512).items() if path.startswith("tile/1")}}, tmp_path / "log")
    for size in (500, 512):
        (tmp_path / "log" / "checkpoint").write_bytes(log.checkpoint(size))
        write({path: content for path, content in log.files(size).items() if path.startswith("tile/1")}, tmp_path / "log")
        (tmp_path / "held").write_bytes(log.checkpoint(100))
        case = Case(f"{size}", tmp_path / "log", tmp_path / "held", found())
        assert python_says("tiles", case.directory, "--since", case.held).verdict == "holds"
        assert [said.verdict for _, said in go_says(go_verifier, [case], tmp_path)] == ["holds"]


def test_what_is_no_file_cannot_be_read(benches: list[Bench], tmp_path: Path, go_verifier: Path) -> None:
    bench = benches[SIZES.index(700)]
    for number, path in enumerate(("checkpoint", "tile/0/000", "tile/entries/001")):
        directory = tmp_path / f"{number}"
        write(bench.files, directory)
        (directory / path).unlink()
        (directory / path).mkdir()
        (tmp_path / "held").write_bytes(bench.log.checkpoint(1))
        assert python_says("tiles", directory) == Said("cannot be read", "file-unreadable", None)
        ((_, said),) = go_says(go_verifier, [Case(path, directory, tmp_path / "held", found())], tmp_path)
        assert said == Said("cannot be read", "file-unreadable", None)
    assert python_says("tiles", tmp_path / "nowhere") == Said("cannot be read", "file-missing", None)
    assert python_says("export", tmp_path / "nowhere") == Said("cannot be read", "file-unreadable", None)
    assert python_says("export", tmp_path) == Said("cannot be read", "file-unreadable", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["case-1", "\ud800", "AAAA"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("kapcare_export", "checkpoint", "query", "complete", "index", "entry", "proof")


@given(st.data())
def test_no_export_is_too_odd(logs: list[Log], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any JSON in any place of an export, any bytes between its lines: it is refused, or nothing of what it shows was touched."""
    log = logs[0]
    whole = log.export({"case": read_entry(log.entries[0]).headers["ce_subject"]}, len(log.entries))
    lines = whole.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    content = json.loads(lines[at])
    field = data.draw(st.sampled_from([*content, *FIELDS]))
    dumped = json.dumps({**content, field: data.draw(JSON)}).encode() + b"\n"
    lines[at : at + 1] = data.draw(
        st.sampled_from([[dumped], [lines[at], dumped], [data.draw(st.binary()), lines[at]], [b"[" * 99_999 + b"\n"]])
    )
    export = tmp_path_factory.getbasetemp() / "odd.ndjson"
    export.write_bytes(b"".join(lines))
    if python_says("export", export).verdict == "holds":
        shown, given = ([json.loads(line) for line in one.splitlines()] for one in (b"".join(lines), whole))
        assert shown == [{**given[0], "complete": shown[0]["complete"]}, *given[1:]]


def test_what_an_export_alone_shows_and_does_not(logs: list[Log], tmp_path: Path) -> None:
    """Cut off by one byte it is refused; without its last line it holds, with a word that only tiles show more."""
    log, export = logs[1], tmp_path / "export.ndjson"
    whole = log.export({"case": read_entry(log.entries[0]).headers["ce_subject"]}, 250)
    export.write_bytes(whole[:-1])
    assert python_says("export", export) == Said("cannot be read", "export-malformed", None)
    export.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert python_says("export", export).verdict == "holds"
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        kap_verify.main(["export", str(export), "--key", VKEY])
    assert "  Note: That no entry up to 250 was left out at the end, only tiles show (--tiles).\n" in output.getvalue()
    for size, said in ((250, "holds"), (249, "cannot be read"), (256, "cannot be read")):
        (tmp_path / "later").write_bytes(log.checkpoint(size))
        assert python_says("export", export, "--checkpoint", tmp_path / "later").verdict == said
    write(log.files(249), tmp_path / "log")
    assert python_says("export", export, "--tiles", tmp_path / "log") == Said("cannot be read", "tiles-too-old", None)


@given(st.data())
def test_no_file_of_a_log_is_too_odd(benches: list[Bench], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    bench = benches[0]
    directory = tmp_path_factory.mktemp("odd")
    path = data.draw(st.sampled_from(sorted(bench.files)))
    content = data.draw(st.binary(max_size=300) | st.text(max_size=99).map(str.encode))
    write({**bench.files, path: content}, directory)
    assert python_says("tiles", directory).verdict != "holds"
    (directory / "checkpoint").write_bytes(content)
    assert python_says("checkpoint", directory / "checkpoint", "--since", directory / "checkpoint", "--tiles", directory).verdict != "holds"


def test_every_mutation_is_found_and_named(benches: list[Bench], tmp_path: Path) -> None:
    wrong, kinds = [], set()
    for batch in mutated(benches, tmp_path):
        wrong += missed((case.name, python_says("tiles", case.directory, "--since", case.held), case.expected) for case in batch)
        kinds |= {case.name.split(" ")[1] for case in batch}
    assert wrong == []
    assert kinds == {kind.__name__ for kind in KINDS}


def test_every_mutation_is_found_and_named_in_go(benches: list[Bench], tmp_path: Path, go_verifier: Path) -> None:
    wrong = []
    for batch in mutated(benches, tmp_path):
        wrong += missed((case.name, said, case.expected) for case, said in go_says(go_verifier, batch, tmp_path))
    assert wrong == []


@pytest.fixture(scope="module")
def export_benches(logs: list[Log]) -> list[ExportBench]:
    return [ExportBench(log) for log in logs[1:]]


def test_exports_hold_and_every_mutation_of_them_is_found(export_benches: list[ExportBench], tmp_path: Path) -> None:
    """The auditor holds the ledger's checkpoint of the same size, and has its tiles."""
    export, wrong = tmp_path / "export.ndjson", []
    for bench in export_benches:
        write(bench.log.files(bench.size), tmp_path / f"{bench.size}")
        for question in (*QUESTIONS, bench.question(Random(0)), bench.question(Random(1))):
            export.write_bytes(b"".join(bench.lines(question)))
            assert python_says("export", export).verdict == "holds"
            assert python_says("export", export, "--tiles", tmp_path / f"{bench.size}").verdict == "holds", question[0]
    for number in range(FIRST, FIRST + MUTATIONS // 3):
        bench = export_benches[number // len(EXPORT_KINDS) % len(export_benches)]
        one = export_mutation(bench, Random(number), number)
        export.write_bytes(one.export)
        tiles = tmp_path / f"{bench.size}"
        said = python_says("export", export, "--tiles", tiles, "--checkpoint", tiles / "checkpoint")
        wrong += missed([(f"{number} {one.kind} of {bench.size}", said, one.expected)])
    assert wrong == []


def test_the_guide_names_every_reason() -> None:
    guide = (VERIFIER.parents[2] / "docs" / "auditor-guide.md").read_text()
    reasons = set(re.findall(r"(?:Refused\(|need\([^\n]*?, )\"([a-z-]+)\",", VERIFIER.read_text()))
    assert len(reasons) > 30
    assert {reason for reason in reasons if f"`{reason}`" not in guide} == set()


def test_the_file_runs_alone(benches: list[Bench], tmp_path: Path) -> None:
    """With no path to the project, no site packages and another working directory, as an auditor has it."""
    alone = tmp_path / "kap_verify.py"
    shutil.copy(VERIFIER, alone)
    write(benches[1].files, tmp_path / "log")
    command = [sys.executable, "-I", "-S", str(alone), "tiles", str(tmp_path / "log"), "--key", VKEY]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.splitlines()[0], run.stderr) == (0, "HOLDS", "")
    (tmp_path / "log" / "tile" / "entries" / "000").write_bytes(b"")
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "")
    assert run.stdout == "DOES NOT HOLD: Entries are missing from index 0: their bundle ends there.\n"
    assert not {line.split()[1].split(".")[0] for line in alone.read_text().splitlines() if line.startswith(("import ", "from "))} - {
        *sys.stdlib_module_names
    }
