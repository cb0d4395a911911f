"""What can go wrong with a commit, by name."""


class StoreUnavailable(Exception):
    """The store cannot be reached, or the outcome of a write stayed unknown: try again with the same key."""


class ReceiptReused(Exception):
    """The same Idempotency-Key or webhook id came with another request."""


class StaleVersion(Exception):
    """The caller's If-Match names a version that is not the current one."""

    def __init__(self, current: int) -> None:
        super().__init__(f"The case is at version {current}.")
        self.current = current


class StreamBroken(Exception):
    """The stored commits of a stream have a hole or a fork: nothing more is decided on it until a person looks."""

    def __init__(self, stream: str, detail: str) -> None:
        super().__init__(f"Stream {stream} is stopped: {detail}")
        self.stream = stream


class TooContended(Exception):
    """Others kept committing to the stream first; try again."""
