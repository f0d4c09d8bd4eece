"""How long a test waits for another process or thread before it calls it stuck."""

import time

PATIENCE_S = 300
"""A machine that is busy with other tests, or whose disk stands still, can keep one waiting for more than a minute."""


def wait_until(holds):
    """Ask again until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.02)
