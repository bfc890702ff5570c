from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

FAULTS = """
import resource, sys, threading
from halfsight import memory
if sys.argv[1] == "keep":
    assert memory.keep_freed()
import torch
torch.set_num_threads(1)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    torch.set_num_threads(1)
    torch.ones(2**24)
    before = faults()
    for _ in range(60):
        torch.ones(2**24)  # 64 MB
    print(faults() - before)
if sys.argv[2] == "first":
    work()
else:
    other = threading.Thread(target=work)
    other.start()
    other.join()
"""


def run(code: str, *arguments: str, **variables: str) -> str:
    chosen = ("MALLOC_", "GLIBC_", "ONEDNN_")  # as a command run by another test may have left them
    environment = {k: v for k, v in os.environ.items() if not k.startswith(chosen)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize("thread", ["first", "other"])
def test_large_tensors_reuse_memory(thread: str) -> None:
    plain, kept = int(run(FAULTS, "leave", thread)), int(run(FAULTS, "keep", thread))
    assert kept < plain / 4


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_TRIM_THRESHOLD_", "100000"), ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=1")],
)
def test_the_choice_of_the_host_stands(name: str, value: str) -> None:
    code = "from halfsight import memory; print(memory.keep_freed())"
    assert run(code, **{name: value}) == "False"


KERNELS = """
import sys
from halfsight import memory
memory.KEPT_KERNELS = int(sys.argv[1])
memory.bound_kernels()
import torch
layer = torch.nn.Conv2d(64, 64, 3)  # a small one does without oneDNN
for size in (32, 48, 64, 32, 48, 64):
    layer(torch.ones(2, 64, size, size))
"""


def compiled(kept: int, **variables: str) -> int:
    lines = run(KERNELS, str(kept), ONEDNN_VERBOSE="2", **variables).splitlines()
    return sum("create:cache_miss" in line and "convolution" in line for line in lines)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_few_compiled_kernels_are_kept() -> None:
    assert compiled(256) == 3  # each size once
    assert compiled(1) == 6  # each is forgotten before it comes again
    assert compiled(1, ONEDNN_PRIMITIVE_CACHE_CAPACITY="256") == 3  # the host's choice
