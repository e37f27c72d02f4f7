"""How Python runs in a process that serves: when it collects garbage, how long a thread may keep the others waiting.

Owns both settings. Does not know what is served.
"""

import gc
import sys

SWITCH_S = 0.0003
"""A thread computes for so long while another one waits."""


def settle() -> None:
    """Called once a service has started and holds what it will hold.

    What rings makes dicts and lists by the thousand, none in a cycle: by default the collector runs at every 700th.
    What a started service holds stays: looking through all of it took a tenth of a second, again and again.

    The event loop needs a turn after every wait. By default a thread keeps it for 5 ms, so that whatever goes on in the
    background, such as the spool's flush every five seconds, cost each request that came meanwhile several times that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(SWITCH_S)
