from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from pointillist.runtime.memory import keep_freed_memory
{call}
for step in range(40):
    if step == 20:  # small blocks may settle in the first large ones that are freed
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10, 1024, 1024)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is left as it is")
def test_a_step_takes_the_memory_of_the_step_before():
    def faults(call):
        done = subprocess.run([sys.executable, "-c", PROGRAM.format(call=call)], capture_output=True, check=True)
        return int(done.stdout)

    assert faults("") > 200_000  # pages of 20 times 40 MiB
    assert faults("keep_freed_memory()") < 100


HELD = """
import torch
from pathlib import Path
from pointillist.runtime.memory import keep_freed_memory
def held():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024
keep_freed_memory()
before = held()
torch.ones({count}, 2**18)
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is left as it is")
@pytest.mark.parametrize(("mebibytes", "kept"), [(100, True), (140, False)])
def test_blocks_of_large_images_are_given_back(mebibytes, kept):
    code = HELD.format(count=mebibytes)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (float(done.stdout) > 90) == kept
