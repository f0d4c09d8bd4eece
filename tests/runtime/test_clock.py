import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointillist.runtime.clock import Clock, derive_seed


def test_ramp_runs_from_e_to_the_minus_5_to_1():
    assert Clock(0, 0, 0, 100).ramp(0.5) == pytest.approx(math.exp(-5))
    assert Clock(0, 50, 0, 100).ramp(0.5) == 1.0
    assert Clock(0, 90, 0, 100).ramp(0.5) == 1.0
    assert Clock(0, 25, 0, 100).ramp(0.5) == pytest.approx(math.exp(-5 / 4))


def test_ramp_waits_for_its_start():
    assert Clock(0, 29, 0, 100).ramp(0.2, start=0.3) == 0.0
    assert Clock(0, 30, 0, 100).ramp(0.2, start=0.3) == pytest.approx(math.exp(-5))
    assert Clock(0, 30, 0, 100).ramp(0.0, start=0.3) == 1.0


@given(step=st.integers(0, 1000), total=st.integers(1, 900), length=st.floats(0.01, 1))
def test_ramp_grows_and_stays_in_range(step, total, length):
    now, later = Clock(0, step, 0, total).ramp(length), Clock(0, step + 1, 0, total).ramp(length)
    assert 0 < now <= later <= 1


def test_progress_of_an_empty_run_is_complete():
    assert Clock(0, 0, 0, 0).progress == 1.0


def test_seeds_differ_by_purpose_step_rank_and_seed():
    clocks = [Clock(s, t, 0, 9, r) for s in range(3) for t in range(3) for r in range(3)]
    seeds = {clock.seed_for(purpose) for clock in clocks for purpose in ("a", "b")}
    assert len(seeds) == 54
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_the_same_everywhere():
    assert derive_seed(1, "cut") == 4156819292606321728  # a change would make every old run unrepeatable
    assert derive_seed("ab", "c") != derive_seed("a", "bc")
