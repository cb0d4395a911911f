"""A job that changes logs in the way of each mutation of a range, and asks both verifiers. `python -m deploy.bench.mutating <folder>`.

Mutation n is drawn by Random(n), is of kind n modulo the number of kinds, and befalls the log whose turn it is after each kind had
its own; so each can be seen again by its number alone.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from deploy.bench.jobs import do_job
from deploy.bench.ledger_log import VKEY, Log, write
from deploy.bench.ledger_mutations import KINDS, Bench, Mutation, found, mutation
from deploy.bench.verifiers import HOLDS, GoVerifier, KapVerify, Said, remember_signatures
from deploy.local.failure import StackError

SIZES: Final = (5, 40, 256, 17, 9, 60, 20, 300, 12, 30, 5, 513, 17, 50, 25, 10)
"""Within a tile, exactly one, a few; two levels of tiles from 256 on. Most are small: the time goes into reading entries that hold."""
TELL_EVERY: Final = 100


class Result(NamedTuple):
    """What became of a range of mutations."""

    kinds: Counter[str]
    """Mutations of each kind."""
    found: Mapping[str, Counter[str]]
    """Verifier -> mutations of each kind that it found, with the index and for a reason that had to be given."""
    missed: list[str]
    """Each of the others in words, with its number."""


class LaidOut:
    """A log as a directory, which both verifiers are asked about with one change after the other in it."""

    def __init__(self, bench: Bench, folder: Path, go: GoVerifier | None) -> None:
        self.bench = bench
        self.directory, self._held = folder / "log", folder / "held"
        self._kap_verify, self._go = KapVerify(self.directory, self._held, VKEY), go
        self._checkpoint = functools.cache(bench.log.checkpoint)
        write(bench.files, self.directory)

    def verdicts(self, changed: Mutation) -> dict[str, Said]:
        """Return what each verifier says while this is changed."""
        with self._with(changed):
            if self._go is None:
                return {"kap_verify": self._kap_verify.says()}
            self._go.ask(self.directory, self._held, VKEY)
            return {"kap_verify": self._kap_verify.says(), "go": self._go.answer()}

    def must_hold(self) -> None:
        """Raise StackError unless it holds with nothing changed; else what is found tells nothing."""
        for verifier, said in self.verdicts(Mutation({}, self.bench.size, found())).items():
            if said != HOLDS:
                raise StackError(f"{verifier} says of an unchanged log of {self.bench.size} entries: {said}")

    @contextmanager
    def _with(self, changed: Mutation) -> Iterator[None]:
        self._put(changed.files)
        self._held.write_bytes(self._checkpoint(changed.held))
        yield
        self._put({path: self.bench.files.get(path) for path in changed.files})

    def _put(self, files: Mapping[str, bytes | None]) -> None:
        for path, content in files.items():
            if content is None:
                (self.directory / path).unlink(missing_ok=True)
        write({path: content for path, content in files.items() if content is not None}, self.directory)


def judge(numbers: range, folder: Path, go: GoVerifier | None, tell: Callable[[int], None]) -> Result:
    """Make these mutations one after the other; `tell` hears how many are done."""
    laid_out = {size: LaidOut(Bench(Log.made_up(size, size)), folder / f"{size}", go) for size in sorted(set(SIZES))}
    result = Result(Counter(), {"kap_verify": Counter()} | ({} if go is None else {"go": Counter()}), [])
    for one in laid_out.values():
        one.must_hold()
    for done, number in enumerate(numbers, start=1):
        one = laid_out[SIZES[number // len(KINDS) % len(SIZES)]]
        changed = mutation(one.bench, Random(number), number)
        result.kinds[changed.kind] += 1
        for verifier, said in one.verdicts(changed).items():
            if said.verdict != "holds" and changed.expected.covers(said.reason, said.at):
                result.found[verifier][changed.kind] += 1
            else:
                which = f"{number} ({changed.kind}, {one.bench.size} entries)"
                result.missed.append(f"{which}: {verifier} says {said}; it must say {changed.expected}")
        if done % TELL_EVERY == 0:
            tell(done)
    for one in laid_out.values():
        one.must_hold()
    return result


async def work(specification: Mapping[str, Any], ready: Callable[[], None]) -> Mapping[str, Any]:
    """`first` and `count` of the mutations, the `folder` to work in, the program `go` or null, the file that hears of `progress`."""
    ready()
    remember_signatures()
    with nullcontext() if specification["go"] is None else GoVerifier(Path(specification["go"])) as go:
        numbers = range(specification["first"], specification["first"] + specification["count"])
        progress = Path(specification["progress"])
        return judge(numbers, Path(specification["folder"]), go, lambda done: write_number(progress, done))._asdict()


def write_number(file: Path, number: int) -> None:
    """Write it so that a reader never finds half of it."""
    draft = file.with_suffix(".draft")
    draft.write_text(f"{number}")
    draft.replace(file)


if __name__ == "__main__":
    do_job(work)
