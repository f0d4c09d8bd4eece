"""What every long run needs: a clock that seeds and ramps derive from, ranks, and an event log."""
