"""The mutations of `kap bench ledger`: both verifiers find them all, and a verifier that is broken is told.

What must be found, and where, is what `deploy/bench/ledger_mutations.py` says beside each mutation; what is missed when a verifier is
broken follows from the way in which it was broken here.
"""

import json
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from deploy.bench.ledger_log import Log
from deploy.bench.ledger_mutations import KINDS, Bench, mutation
from deploy.bench.mutating import SIZES, LaidOut, Result, judge
from deploy.bench.verifiers import HOLDS, GoVerifier, Said, build_go_verifier
from deploy.local.data import ROOT
from deploy.local.failure import StackError, UnavailableError
from services.audit import kap_verify

pytestmark = pytest.mark.timeout(180)

NAMES = {kind.__name__ for kind in KINDS}
EACH_LOG = range(len(KINDS) * len(SIZES))
"""A mutation of each kind for each log."""
FEW = range(2 * len(KINDS))
"""For two small logs."""


def judged(numbers: range, folder: Path, go: GoVerifier | None = None) -> Result:
    return judge(numbers, folder, go, lambda _: None)


def missed_kinds(result: Result) -> set[str]:
    return {one.partition("(")[2].partition(",")[0] for one in result.missed}


def test_both_find_all(tmp_path: Path) -> None:
    try:
        program = build_go_verifier(tmp_path)
    except UnavailableError as unavailable:
        pytest.skip(str(unavailable))
    heard: list[int] = []
    with GoVerifier(program) as go:
        result = judge(EACH_LOG, tmp_path / "logs", go, heard.append)
    assert result.missed == []
    assert result.kinds == Counter(dict.fromkeys(NAMES, len(SIZES)))
    assert result.found == {"kap_verify": result.kinds, "go": result.kinds}
    assert heard == [100, 200, 300, 400]


def test_every_file_is_put_back(tmp_path: Path) -> None:
    """Else the next mutation would be found for what is left of this one."""
    laid_out = LaidOut(Bench(Log.made_up(1, 513)), tmp_path, None)
    files = laid_out.bench.files
    for number in range(len(KINDS)):
        laid_out.verdicts(mutation(laid_out.bench, Random(number), number))
        there = {str(file.relative_to(laid_out.directory)): file.read_bytes() for file in laid_out.directory.rglob("*") if file.is_file()}
        assert there == files


def test_a_number_is_the_same_mutation_in_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one that was missed can be seen again: alone, it is what it was among others."""
    monkeypatch.setattr(kap_verify, "not_rolled_back", lambda new, old: "not looked at")
    among, number = judged(FEW, tmp_path / "all").missed, [kind.__name__ for kind in KINDS].index("roll_back")
    alone = judged(range(number, number + 1), tmp_path / "one").missed
    assert len(alone) == 1
    assert alone[0] in among


def test_a_verifier_that_takes_no_notice_of_an_older_checkpoint_misses_what_was_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kap_verify, "not_rolled_back", lambda new, old: "not looked at")
    result = judged(FEW, tmp_path)
    assert "roll_back" in missed_kinds(result)
    assert result.found["kap_verify"]["roll_back"] == 0
    assert result.kinds.total() - result.found["kap_verify"].total() == len(result.missed)
    assert missed_kinds(result) <= {"roll_back", "fork", "fork_without_an_entry", "fork_beside_the_tiles"}


def test_a_verifier_that_names_the_next_entry_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is right and the index is not."""
    refuse = kap_verify.Scan._refuse_changed

    def one_too_far(scan: kap_verify.Scan) -> None:
        try:
            refuse(scan)
        except kap_verify.Refused as refused:
            raise kap_verify.Refused(refused.reason, refused.message, (refused.index or 0) + 1) from None

    monkeypatch.setattr(kap_verify.Scan, "_refuse_changed", one_too_far)
    result = judged(FEW, tmp_path)
    assert result.found["kap_verify"]["back_date"] == 0
    one = next(one for one in result.missed if "(back_date," in one)
    said, wanted = one.split("; it must say ")
    assert "kap_verify says does not hold: entry-changed at " in said
    assert int(said.rpartition(" ")[2]) == int(wanted.rpartition(" ")[2]) + 1
    assert wanted.startswith("entry-changed at ")


def test_a_verifier_that_gives_another_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kap_verify.Scan, "_refuse_changed", lambda scan: None)
    result = judged(FEW, tmp_path)
    assert result.found["kap_verify"]["back_date"] == 0
    assert any("(back_date," in one and "root-differs" in one and "it must say entry-changed at" in one for one in result.missed)


def test_a_verifier_that_stumbles_has_found_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(scan: kap_verify.Scan) -> None:
        if scan._mismatch is not None:
            raise ZeroDivisionError

    monkeypatch.setattr(kap_verify.Scan, "_refuse_changed", stumble)
    result = judged(FEW, tmp_path)
    assert result.found["kap_verify"]["back_date"] == 0
    assert any("(back_date," in one and "kap_verify says failed: ZeroDivisionError" in one for one in result.missed)


def test_a_verifier_that_refuses_what_holds_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would find every mutation."""

    def refuse(self: kap_verify.Scan, *_: object) -> None:
        raise kap_verify.Refused("root-differs", "", None)

    monkeypatch.setattr(kap_verify.Scan, "judge", refuse)
    with pytest.raises(StackError, match=r"kap_verify says of an unchanged log of 5 entries: .*root-differs"):
        judged(FEW, tmp_path)


PROGRAM = """#!{python}
import json, sys
for line in sys.stdin:
    if json.loads(line)["directory"] == "die":
        sys.exit(3)
    print(json.dumps({{"verdict": "holds", "index": -1}}), flush=True)
"""
"""A second verifier that says of everything that it holds, unless it is to die."""


def script(file: Path, content: str) -> Path:
    file.write_text(content)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def test_a_second_verifier_that_dies_has_found_nothing_and_is_started_again(tmp_path: Path) -> None:
    program = script(tmp_path / "verifier", PROGRAM.format(python=sys.executable))
    with GoVerifier(program) as go:
        for directory, said in (("one", HOLDS), ("die", Said("failed", "exit code 3", None)), ("two", HOLDS)):
            go.ask(Path(directory), tmp_path / "held", "key")
            assert go.answer() == said


def kap_bench_ledger(*words: str, path: Path) -> subprocess.CompletedProcess[str]:
    """The command, in a process that finds no other programs than those in a folder."""
    command = [sys.executable, "-P", "-m", "deploy.cli", "bench", "ledger", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(path)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_bench_says_what_a_broken_second_verifier_misses_and_fails(tmp_path: Path) -> None:
    """What stands for Go here builds the program that says of everything that it holds."""
    program = script(tmp_path / "verifier", PROGRAM.format(python=sys.executable))
    copy = f"import shutil, sys\nif sys.argv[1] == 'build':\n    shutil.copy({str(program)!r}, sys.argv[sys.argv.index('-o') + 1])\n"
    script(tmp_path / "go", f"#!{sys.executable}\n{copy}")
    run = kap_bench_ledger("--entries", "0", "--mutations", "60", "--seed", "7", path=tmp_path)
    assert run.returncode == 1, run.stderr
    assert "of 60 mutations (seed 7, 25 kinds) kap_verify.py found 60, the Go verifier 0; " in run.stdout
    kind = KINDS[7].__name__
    assert f"missed: mutation 7 ({kind}, 5 entries): go says holds; it must say entry-changed at " in run.stdout
    assert run.stdout.count("missed: ") == 20
    assert "40 more; see one again: ./kap bench ledger --entries 0 --mutations 1 --seed NUMBER" in run.stdout


def test_the_bench_says_that_there_was_no_second_verifier(tmp_path: Path) -> None:
    run = kap_bench_ledger("--entries", "0", "--mutations", "501", "--json", path=tmp_path)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert (told["mutations"], told["mutations_found_kap_verify"], told["mutations_found_go"]) == (501, 501, None)
    assert told["no_second_verifier"] == "there is no Go toolchain"
    assert (told["mutations_seed"], told["mutations_missed"]) == (1, [])
    assert {kind: counts["mutations"] for kind, counts in told["mutations_by_kind"].items()} == {
        kind.__name__: 21 if number == 1 else 20 for number, kind in enumerate(KINDS)
    }


@pytest.mark.parametrize(("entries", "code"), [("19999", 2), ("1", 2), ("0", 0)])
def test_a_ledger_too_small_to_be_measured_is_refused(tmp_path: Path, entries: str, code: int) -> None:
    run = kap_bench_ledger("--entries", entries, "--mutations", "0", "--json", path=tmp_path)
    assert run.returncode == code
    assert ("20,000 or more" in run.stderr) == (code == 2)
