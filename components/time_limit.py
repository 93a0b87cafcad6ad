"""A time limit on a call that has none of its own, such as a request to a server that sends a byte now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

Result = TypeVar("Result")


class TooLongError(Exception):
    """A call has not ended within its time."""


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return what `call` returns, or raise what it raises; TooLongError where it takes longer than `seconds`.

    A timeout of a socket begins again with every byte, so such a server is waited for without end. The call is
    therefore made by a thread of its own, which is left behind when the time is over.
    """
    outcome: futures.Future[Result] = futures.Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    if not futures.wait([outcome], max(seconds, 0.0)).done:
        raise TooLongError
    return outcome.result()
