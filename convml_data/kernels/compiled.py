"""How kernels are compiled, and where the machine code is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(*parameters: str) -> Callable[[Function], Function]:
    """Compile a function of arrays and numbers that returns nothing, or take it as it was compiled before.

    The code is kept where numba keeps it: in the folder that the environment variable ``NUMBA_CACHE_DIR``
    names, otherwise beside the module or, where that cannot be written, in the user's cache. Where
    none of them can be written, it is compiled again in each process.

    The arithmetic is that of the source, in its order and in IEEE rounding, whatever the processor. Other
    threads of Python run meanwhile; the loops themselves use one thread, since scenes run side by side.

    Parameters
    ----------
    parameters
        Type of each parameter in numba's words, see :func:`given`. There is one signature for each function, so that
        processes that compile at once write the same code: numba names what it keeps by order,
        not by signature.
    """
    signature = f"void({', '.join(parameters)})"

    def decorate(function: Function) -> Function:
        try:
            return cast(Function, numba.njit(signature, nogil=True, error_model="numpy", cache=True)(function))
        except Exception:  # of numba, pickle or the file system; an error of the function itself comes up again
            return cast(Function, numba.njit(signature, nogil=True, error_model="numpy")(function))

    return decorate


def given(item: str, dimensions: int) -> str:
    """Type of a contiguous array that is only read, such as ``f4`` in two dimensions."""
    return f"Array({item}, {dimensions}, 'C', readonly=True)"


def filled(item: str, dimensions: int) -> str:
    """Type of a contiguous array that is written to."""
    return f"Array({item}, {dimensions}, 'C')"
