"""How many threads torch uses, and its default given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def one_thread() -> None:
    """Give the calling thread's network one core.

    Whoever does so works on as many photographs, or parts of one, at once as there are cores. That
    keeps the cores busier than several on one piece of work, and the sums are formed in one order,
    so that the number of cores changes no byte.
    """
    torch.set_num_threads(1)


@contextmanager
def threads_restored() -> Iterator[None]:
    """Undo what :func:`one_thread` in other threads does to threads that start later.

    torch keeps the number for each thread, but a new thread begins with the last one set anywhere.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
