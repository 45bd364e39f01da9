"""Keys as a caller gives them: at once when they are few, else as a stream that is encoded as it is read."""

from collections.abc import Iterable, Iterator
from typing import Any, Self

from pydantic import BaseModel

from action_ledger.domain.errors import InvalidValue, shown
from action_ledger.domain.selection import KeyValue
from action_ledger.domain.values import encode

SMALL = 10_000
"""So many keys travel inside the command; an iterable without a length is streamed beside it."""


class KeyStream:
    """Keys of any number, encoded one by one as they are read."""

    def __init__(self, keys: Iterable[Any]) -> None:
        self._keys = keys

    def __iter__(self) -> Iterator[KeyValue]:
        """Encode each key."""
        return map(encode, self._keys)


class KeyIterator:
    """The same out of an iterator, which gives its keys once: a second use would select nothing."""

    def __init__(self, keys: Iterator[Any]) -> None:
        self._keys = keys
        self._begun = False

    def __iter__(self) -> Self:
        """Begin. Raises InvalidValue when they were read before."""
        if self._begun:
            detail = "these keys came from an iterator, and it was used up; give them again"
            raise InvalidValue(value="keys", detail=detail)
        return self

    def __next__(self) -> KeyValue:
        """Encode the next key."""
        self._begun = True
        return encode(next(self._keys))


def key_list(keys: Iterable[Any]) -> tuple[KeyValue, ...] | KeyStream | KeyIterator:
    """Take keys that somebody gave: at once when they are few, else as a stream of them."""
    if isinstance(keys, (str, bytes, bytearray, memoryview, BaseModel)):
        raise _no_list(keys)
    try:
        iterator = iter(keys)
    except TypeError as error:
        raise _no_list(keys) from error
    if isinstance(keys, (list, tuple, set, frozenset)) and len(keys) <= SMALL:
        return tuple(map(encode, iterator))
    return KeyIterator(iterator) if iterator is keys else KeyStream(keys)


def _no_list(keys: object) -> InvalidValue:
    return InvalidValue(value=shown(keys), detail="an iterable of keys is needed, such as a list")
