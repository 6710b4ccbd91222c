"""Once: what is dear to make is made when it is first asked for, and by one thread, whoever asks meanwhile."""

from collections.abc import Callable
from threading import RLock
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")
_LOCK = "_making"  # the owner's, one for all that it makes: one part may need another


class Once(Generic[Value]):
    """A property that keeps what it made; threads that ask meanwhile wait for it.

    `functools.cached_property` lets each of them make its own, from Python 3.12 on.

    :param make: gives the value, from the owner, which has a `__dict__`.
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, _kind: type) -> "Once[Value]": ...
    @overload
    def __get__(self, owner: object, _kind: type) -> Value: ...
    def __get__(self, owner: object | None, _kind: type) -> "Once[Value] | Value":
        """Asked only until the value is among the owner's attributes, which go first."""
        if owner is None:
            return self
        kept = vars(owner)
        with kept.setdefault(_LOCK, RLock()):
            if self._name not in kept:
                kept[self._name] = self._make(owner)
        value: Value = kept[self._name]
        return value
