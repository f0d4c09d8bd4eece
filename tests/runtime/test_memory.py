from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from pointillist.runtime.memory import keep_freed_memory
{call}
for step in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10, 1024, 1024)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is left as it is")
def test_a_step_takes_the_memory_of_the_step_before():
    def faults(call):
        done = subprocess.run([sys.executable, "-c", PROGRAM.format(call=call)], capture_output=True, check=True)
        return int(done.stdout)

    assert faults("") > 10_000  # pages of 40 MiB
    assert faults("keep_freed_memory()") < 100
