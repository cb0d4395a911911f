"""One of kapcare's services under cProfile: `python -m deploy.bench.profiled FILE SERVICE`; SIGTERM ends it and writes the file."""

import cProfile
import signal
import sys

from services.__main__ import main

if __name__ == "__main__":
    file = sys.argv.pop(1)
    # The server puts this back and raises the signal again when it has stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    profile = cProfile.Profile()
    try:
        profile.runcall(main)
    finally:
        profile.dump_stats(file)
