"""Free ports on loopback."""

import random
import socket

# Below the range from which Linux takes the source ports of outgoing connections, so that a port found free is
# not taken by a passing connection before its server starts.
FIRST, LAST = 20_000, 32_000

_given: set[int] = set()


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """The preferred port when it is free, otherwise one that is and that this process was not given before."""
    if preferred is not None and is_free(preferred):
        _given.add(preferred)
        return preferred
    while True:
        port = random.randrange(FIRST, LAST)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
