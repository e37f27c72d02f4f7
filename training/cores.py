"""How many processors work that nobody waits for may take."""

import os


def cores() -> int:
    """Those that this process may run on. Networks come to the same outputs, to the bit, on however many."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
