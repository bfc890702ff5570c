from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from halfsight import memory
if sys.argv[1] == "keep":
    assert memory.keep_freed()
import torch
torch.set_num_threads(1)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(2**24)
before = faults()
for _ in range(60):
    torch.ones(2**24)  # 64 MB
print(faults() - before)
"""


def run(code: str, *arguments: str, **variables: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_tensors_reuse_memory() -> None:
    plain, kept = int(run(FAULTS, "leave")), int(run(FAULTS, "keep"))
    assert kept < plain / 4


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_TRIM_THRESHOLD_", "100000"), ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=1")],
)
def test_the_choice_of_the_host_stands(name: str, value: str) -> None:
    code = "from halfsight import memory; print(memory.keep_freed())"
    assert run(code, **{name: value}) == "False"
