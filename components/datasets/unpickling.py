"""Reads CIFAR's pickles without running what a hostile pickle asks for.

A pickle is a program: it names functions and calls them. CIFAR's need nothing beyond Python's own containers, strings
and numbers, and the three functions with which numpy rebuilds an array; every other name is refused before it is
looked up.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from components.errors import HeadstartError

# numpy moved its core package from numpy.core to numpy._core in version 2; pickles carry either name.
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class _RefusedError(pickle.UnpicklingError):
    """The pickle asks for what no CIFAR-100 file needs."""


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _RefusedError(f"it asks for {module}.{name}, which no CIFAR-100 file needs")
        return super().find_class("numpy._core.multiarray" if name == "_reconstruct" else module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("it refers to objects outside the file")


def load_pickle(content: bytes, name: str) -> Any:
    """Return the object in `content`; `name` is the file's name for messages.

    Byte strings stay bytes, as the Python 2 pickles of CIFAR need it. HeadstartError says why a pickle was refused.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise HeadstartError(
            f"{name}: refused as a CIFAR-100 file: {error}.", "Get it from where it was published."
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise HeadstartError(
            f"{name}: damaged: it cannot be read as a pickle ({type(error).__name__}: {error}).", "Download it again."
        ) from error
