from __future__ import annotations

import os
import time

import numpy as np
import pytest
import torch

from halfsight.bench import clock


def test_calls_take_turns() -> None:
    order: list[str] = []
    costs = clock.interleaved(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2
    )
    assert order == ["a", "b"] * 3  # once before, unmeasured
    assert 0 <= costs["a"].fastest <= costs["a"].seconds


def test_waiting_is_no_processor_time() -> None:
    cost = clock.interleaved({"sleep": lambda: time.sleep(0.05)}, repeats=1)["sleep"]
    assert cost.seconds >= 0.05
    assert cost.cpu_seconds < cost.seconds


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with clock.threads(before + 1) as count:
        assert count == torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with clock.threads(None) as count:
        assert count == before


def test_memory_is_that_of_the_call() -> None:
    def take() -> None:
        np.ones(50 << 20, np.uint8)

    assert 45 < clock.peak_extra_mb(take) < 80
    assert clock.peak_extra_mb(lambda: None) < 20


def test_a_process_of_its_own() -> None:
    assert clock.in_child(os.getppid) == os.getpid()


def test_machine_says_what_it_is() -> None:
    found = clock.machine()
    assert found["cores"] >= 1
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"]
    assert found["processor"]


@pytest.mark.parametrize("key", ["VmRSS", "VmHWM"])
def test_missing_figures_of_the_kernel(key: str) -> None:
    with pytest.raises(OSError, match="no Nothing"):
        clock._status("Nothing")
    assert clock._status(key) > 1000
