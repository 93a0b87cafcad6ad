"""Reads CIFAR's pickles without running what a hostile pickle asks for.

A pickle is a program: it names functions and calls them. CIFAR's need nothing beyond Python's own containers, strings
and numbers, and the few names with which numpy rebuilds an array. Any other name is refused; for those few there are
stand-ins here, because numpy's own believe whatever a file says about shapes, types and memory. The unpickler is
Python's, not C's, which reserves memory for as many remembered objects as a file claims.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from headstart.components.errors import HeadstartError

_WHOLE_NUMBERS = re.compile(r"[|<=]?[iu][1248]")


class _RefusedError(pickle.UnpicklingError):
    """The pickle asks for what no CIFAR-100 file needs."""


class _Type:
    """Stands for a numpy type of whole numbers."""

    __slots__ = ("dtype",)

    def __init__(self, text: Any, *_: Any) -> None:
        name = text.decode("ascii") if isinstance(text, bytes) else str(text)
        if not _WHOLE_NUMBERS.fullmatch(name):
            raise _RefusedError(f"it holds an array of {name!r}; CIFAR-100 has whole numbers only")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, …); the rest is of structured types.
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Stands for a numpy array until its shape, type and bytes are known and agree."""

    __slots__ = ("content",)

    def __init__(self) -> None:
        self.content: npt.NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, raw = state
        if not isinstance(raw, bytes) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("an array without bytes or shape")
        if math.prod(shape) * kind.dtype.itemsize != len(raw):
            raise ValueError(f"an array of {shape} with {len(raw)} bytes")
        self.content = np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if fortran is True else "C")


class _Name:
    """Stands for a name that a pickle may ask for; it can be called, and nothing can be put into it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *given: Any) -> Any:
        return self._call(*given)

    def __setstate__(self, _: Any) -> None:
        raise _RefusedError("it changes a function")


def _encode(text: str, encoding: str) -> bytes:
    # How Python 3 writes bytes in the older protocols.
    if encoding != "latin1":
        raise _RefusedError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


_RECONSTRUCT = _Name(lambda *_: _Array())
_ALLOWED = {
    ("numpy", "ndarray"): _Name(lambda *_: _Array()),
    ("numpy", "dtype"): _Name(_Type),
    # numpy moved its core package in version 2; pickles carry either name.
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _Name(_encode),
}


def _refuse_bytearray(_: Any) -> None:
    # Python makes room for as many bytes as the file claims before it reads one.
    raise _RefusedError("it holds a bytearray, which no CIFAR-100 file needs")


class _ArrayUnpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Callable[..., Any]]] = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: _refuse_bytearray,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _RefusedError(f"it asks for {module}.{name}, which no CIFAR-100 file needs")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("it refers to objects outside the file")


def load_pickle(content: bytes, name: str) -> Any:
    """Return the object in `content`, the values of a dict that are arrays as numpy arrays; `name` is for messages.

    Byte strings stay bytes, as the Python 2 pickles of CIFAR need it. HeadstartError says why a pickle was refused.
    """
    try:
        found = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise HeadstartError(
            f"{name}: refused as a CIFAR-100 file: {error}.", "Get it from where it was published."
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise HeadstartError(
            f"{name}: damaged: it cannot be read as a pickle ({type(error).__name__}: {error}).", "Download it again."
        ) from error
    if isinstance(found, dict):
        return {key: value.content if isinstance(value, _Array) else value for key, value in found.items()}
    return found
