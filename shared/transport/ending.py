"""Whether a task was asked to end. The database driver may swallow a cancellation that arrives while it waits for a reply;
a loop that goes on for ever asks here each time round, so that it ends all the same."""

import asyncio


def asked_to_end() -> bool:
    """Whether the current task was cancelled, also if nobody noticed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
