"""How long a test waits for another process or thread before it calls it stuck."""

PATIENCE_S = 300
"""A machine that is busy with other tests, or whose disk stands still, can keep one waiting for more than a minute."""
