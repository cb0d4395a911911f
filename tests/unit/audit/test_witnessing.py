"""What a witness decides, row by row of C2SP tlog-witness (add-checkpoint), and the form of a submission."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bench.ledger_log import LOG_KEY, ORIGIN, OTHER_KEY, Log, private_key
from services.audit.domain.checkpoint import Checkpoint, read_checkpoint
from services.audit.domain.note import Note, key_of, read_note
from services.audit.domain.proofs import plan_consistency
from services.audit.domain.witnessing import Cosign, MalformedSubmission, Refuse, Submission, decide, read_submission

LOG = Log.made_up(5, 700)
FORK = Log([*LOG.entries[:299], b"another", *LOG.entries[300:]])
KEYS = {ORIGIN: [key_of(ORIGIN, LOG_KEY)]}


def note(size: int, log: Log = LOG) -> Note:
    return read_note(log.checkpoint(size))


def seen(size: int, log: Log = LOG) -> dict[str, Checkpoint]:
    return {ORIGIN: read_checkpoint(note(size, log).text)}


def proof(old: int, new: int, log: Log = LOG) -> tuple[bytes, ...]:
    return plan_consistency(old, new).prove(log.tiles(new)) if 0 < old < new else ()


def judged(submission: Submission, last: dict[str, Checkpoint] | None = None) -> int | tuple[int, str, int | None]:
    """The size that is co-signed, or the refusal."""
    verdict = decide(submission, KEYS, last or {})
    if isinstance(verdict, Cosign):
        assert verdict.text == submission.note.text
        return verdict.checkpoint.size
    return (verdict.status, verdict.reason, verdict.size)


def test_what_goes_on_from_the_last_one_is_co_signed() -> None:
    assert judged(Submission(0, (), note(300))) == 300
    for old, new in ((1, 2), (255, 256), (256, 700), (300, 513), (512, 700)):
        assert judged(Submission(old, proof(old, new), note(new)), seen(old)) == new
    assert judged(Submission(300, (), note(300)), seen(300)) == 300, "the same again, for whoever lost the answer"


def test_an_unknown_log_is_not_found() -> None:
    other = Log(LOG.entries, origin="elsewhere.example/ledger")
    assert judged(Submission(0, (), note(10, other))) == (404, "unknown-log", None)


def test_a_checkpoint_that_the_log_did_not_sign_is_forbidden() -> None:
    forged = Log(LOG.entries, key=OTHER_KEY)
    assert judged(Submission(0, (), note(10, forged))) == (403, "not-signed-by-the-log", None)
    moved = Note(note(11).text, note(10).signatures)
    assert judged(Submission(0, (), moved)) == (403, "not-signed-by-the-log", None)
    two_keys = {ORIGIN: [key_of(ORIGIN, OTHER_KEY), key_of(ORIGIN, LOG_KEY)]}
    assert isinstance(decide(Submission(0, (), note(10)), two_keys, {}), Cosign)


def test_an_old_size_above_the_new_one_is_a_bad_request() -> None:
    assert judged(Submission(301, (), note(300)), seen(301)) == (400, "old-size-larger", None)


def test_another_old_size_is_a_conflict_that_tells_the_size() -> None:
    assert judged(Submission(0, (), note(400)), seen(300)) == (409, "another-old-size", 300)
    assert judged(Submission(299, proof(299, 400), note(400)), seen(300)) == (409, "another-old-size", 300)
    assert judged(Submission(5, proof(5, 400), note(400))) == (409, "another-old-size", 0)


def test_nothing_smaller_is_ever_co_signed() -> None:
    assert judged(Submission(0, (), note(299)), seen(300)) == (409, "another-old-size", 300)
    assert judged(Submission(299, (), note(299)), seen(300)) == (409, "another-old-size", 300)
    assert judged(Submission(300, (), note(299)), seen(300)) == (400, "old-size-larger", None)


def test_another_root_of_the_same_size_is_a_conflict() -> None:
    assert judged(Submission(300, (), note(300, FORK)), seen(300)) == (409, "another-root", 300)


def test_a_fork_is_never_co_signed() -> None:
    for given_proof in (proof(300, 400, FORK), proof(300, 400), ()):
        assert judged(Submission(300, given_proof, note(400, FORK)), seen(300)) == (422, "proof-does-not-hold", None)


def test_a_proof_that_does_not_hold_is_unprocessable() -> None:
    good = proof(300, 400)
    broken = [good[:-1], (*good, good[0]), good[::-1], (bytes(32), *good[1:]), ()]
    for one in broken:
        assert judged(Submission(300, one, note(400)), seen(300)) == (422, "proof-does-not-hold", None)
    assert judged(Submission(0, (bytes(32),), note(400))) == (422, "proof-does-not-hold", None)
    assert judged(Submission(400, (bytes(32),), note(400)), seen(400)) == (422, "proof-does-not-hold", None)


def test_what_is_no_checkpoint_is_a_bad_request() -> None:
    extended = Note(note(10).text + "extension\n", note(10).signatures)
    assert judged(Submission(0, (), extended)) == (400, "checkpoint-extension-line", None)


@given(st.integers(0, 700), st.integers(0, 700), st.integers(0, 700), st.booleans())
def test_whatever_is_submitted_what_is_co_signed_begins_with_what_was(last: int, old: int, new: int, forked: bool) -> None:
    """Only the tree that really goes on, by the definition: its first entries are those that were seen."""
    if new == 0:
        return
    log = FORK if forked else LOG
    verdict = decide(Submission(old, proof(old, new, log), note(new, log)), KEYS, seen(last) if last else {})
    goes_on = new >= last and log.entries[:last] == LOG.entries[:last]
    assert isinstance(verdict, Cosign) == (goes_on and old == last)


def test_a_submission_is_read_as_it_was_written() -> None:
    """The form of the example of the specification."""
    made = Submission(256, proof(256, 700), note(700))
    lines = made.to_bytes().decode().split("\n")
    assert lines[0] == "old 256"
    assert lines[1] == base64.b64encode(made.proof[0]).decode()
    assert made.to_bytes().endswith(LOG.checkpoint(700))
    assert read_submission(made.to_bytes()) == made
    assert read_submission(Submission(0, (), note(1)).to_bytes()) == Submission(0, (), note(1))


CHECKPOINT = LOG.checkpoint(10)
HASH = base64.b64encode(bytes(32)).decode().encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "old-size-line"),
        (b"old 5\n", "old-size-line"),
        (b"old 05\n\n" + CHECKPOINT, "old-size-line"),
        (b"old -1\n\n" + CHECKPOINT, "old-size-line"),
        (b"old  5\n\n" + CHECKPOINT, "old-size-line"),
        (b"Old 5\n\n" + CHECKPOINT, "old-size-line"),
        (b"old 5\r\n\r\n" + CHECKPOINT, "old-size-line"),
        (b"old \xd9\xa3\n\n" + CHECKPOINT, "old-size-line"),
        (b"old 99999999999999999999\n\n" + CHECKPOINT, "old-size-line"),
        (b"\n\nold 5\n\n" + CHECKPOINT, "old-size-line"),
        (b"old 5\n" + HASH[:-4] + b"\n\n" + CHECKPOINT, "proof-line"),
        (b"old 5\n" + HASH + b" \n\n" + CHECKPOINT, "proof-line"),
        (b"old 5\n" + HASH.replace(b"=", b"") + b"\n\n" + CHECKPOINT, "proof-line"),
        (b"old 5\n" + HASH[:-2] + b"B=\n\n" + CHECKPOINT, "proof-line"),
        (b"old 5\n" + (HASH + b"\n") * 64 + b"\n" + CHECKPOINT, "proof-too-long"),
        (b"old 5\n\n", "note-without-signatures"),
        (b"old 5\n\n" + CHECKPOINT.partition(b"\n\n")[0], "note-without-signatures"),
    ],
)
def test_what_is_no_submission_is_named_by_its_reason_alone(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedSubmission) as malformed:
        read_submission(body)
    assert malformed.value.reason == reason


@given(st.binary(max_size=300))
def test_junk_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedSubmission):
        read_submission(body)


def test_a_refusal_names_no_content() -> None:
    verdict = decide(Submission(0, (), note(10, Log(LOG.entries, key=private_key("x")))), KEYS, {})
    assert isinstance(verdict, Refuse)
    assert verdict.reason == "not-signed-by-the-log"
