"""The garbage collector of a serving process: nearly all of its objects are freed by their last reference anyway."""

import gc
from typing import Final

NEW_OBJECTS: Final = 50_000
"""How many new containers are looked through at once; by default 700, which under load is many times a second."""


def rarely_collect_garbage() -> None:
    """Never look again at what is there now, seldom at what lives long (remembered cases), and at new objects in larger lots.

    With the defaults, a collection went through every remembered case again and again: a sixth of the processor
    time of a busy intake, and pauses of tens of milliseconds for whoever asked just then.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 100)
