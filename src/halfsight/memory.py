"""What a process of halfsight's own does about memory: keep what is freed, bound what is cached."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h
KEPT = 2**30
"""Freed bytes at the heap's end beyond which memory goes back to the system."""
KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
KEPT_KERNELS = 256
"""Compiled kernels that oneDNN keeps; one pass of the largest network here takes about as many."""


def settle() -> None:
    """Keep freed memory and bound the cache of kernels, for a process that is halfsight's own."""
    keep_freed()
    bound_kernels()


def bound_kernels() -> None:
    """Make oneDNN keep few compiled kernels, instead of 1024.

    It compiles one for each layer and each size of photograph. Over a folder of photographs of many
    sizes they fill gigabytes, and none is used again. To be called before the first network runs;
    the host's own choice, by ``ONEDNN_PRIMITIVE_CACHE_CAPACITY``, stands.

    Source: oneDNN's documentation, "Primitive Cache".
    """
    os.environ.setdefault(KERNELS, str(KEPT_KERNELS))


def keep_freed() -> bool:
    """Make the C library keep freed memory instead of handing every large tensor back.

    glibc maps each large allocation anew and unmaps it when it is freed, so that every layer of a
    network has the kernel clear its pages again, which shows as system time. So it does with what
    threads other than the first allocate, unless all share the first one's heap. This is for whole
    processes that are halfsight's own; a library leaves its host alone. The host's own choice, by
    ``MALLOC_...`` or ``GLIBC_TUNABLES``, stands.

    Returns:
        Whether it was done; not so without glibc.

    Source: mallopt(3), M_MMAP_MAX, M_TRIM_THRESHOLD and M_ARENA_MAX.
    """
    chosen = [name for name in os.environ if name.startswith("MALLOC_")]
    if chosen or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    wanted = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEPT), (M_ARENA_MAX, 1))
    return all(mallopt(option, value) for option, value in wanted)
