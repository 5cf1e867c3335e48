"""How the mapping kernels are compiled: by numba, cached on disk, exact, without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["inlined", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile on the first call, or load from the cache of an earlier process.

    No fast-math: results equal OctoMap's bit for bit. Whoever owns a kernel calls it once while
    being configured, since the first compilation takes seconds.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: F) -> F:
    """Compile into each kernel that calls it, for what is called once per cell.

    A call that passes the arrays of a store would cost more than most of these functions do.
    """
    return cast(
        F, numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function)
    )
