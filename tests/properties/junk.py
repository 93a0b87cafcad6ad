"""Values that no setting expects, and how an error must read whoever raises it."""

from __future__ import annotations

from hypothesis import strategies as st

from headstart.components.errors import HeadstartError

# Text that breaks naive code: nothing, blanks, numbers that are none, quotes, other scripts, control characters.
AWKWARD = [
    "",
    " ",
    "-1",
    "0",
    "1",
    "1.5",
    "1e400",
    "-0.0",
    "nan",
    "NaN",
    "inf",
    "-Infinity",
    "true",
    "null",
    "[]",
    "{}",
    "[1,",
    "99999999999999999999999999",
    "a b",
    'it\'s "quoted"',
    "ķirsis/Ābols",
    "苹果",
    "\u202egnp.exe",
    "🍎",
    "../../etc/passwd",
    "/no/such/place",
    "--help",
    "=",
    "a=b=c",
    "x" * 5000,
    "%s%n{}{0}",
    "\\",
    "\t\r\n",
]

words = st.one_of(st.sampled_from(AWKWARD), st.text(st.characters(exclude_categories=("Cs",)), max_size=30))

numbers = st.one_of(
    st.integers(-3, 300),
    st.integers(),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**400, -(10**400)]),
    st.floats(),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e308, 5e-324, -0.0]),
)

scalars = st.one_of(st.none(), st.booleans(), numbers, words)

# What JSON can carry, as a pipeline's parameters do, and NaN, which Python's own JSON lets through.
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)


def check_message(error: HeadstartError, *names: str) -> None:
    """An error has a sentence that names what is wrong by one of `names`, and is not a dump of somebody's internals."""
    assert error.message.strip(), "an empty message"
    assert any(name in error.message for name in names), f"{error.message!r} names none of {names}"
    assert "Traceback" not in str(error)
    assert "pydantic" not in str(error), str(error)
