"""Texts that PostgreSQL can keep, and names that people can read: what commands and actors are made of."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints


def _storable(text: str) -> str:
    if "\0" in text:
        message = "PostgreSQL text cannot hold the character NUL"
        raise ValueError(message)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = "it is not valid Unicode (a lone surrogate)"
        raise ValueError(message) from error
    return text


def _printable(name: str) -> str:
    if not name.isprintable():
        message = "a name has no control characters"
        raise ValueError(message)
    return name


Text = Annotated[str, AfterValidator(_storable)]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_storable),
    AfterValidator(_printable),
]
Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000),
    AfterValidator(_storable),
    AfterValidator(_printable),
]
"""Longer than a name may be: browsers call themselves long things."""
