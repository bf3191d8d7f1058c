"""A key as text that does not show itself."""

from typing import NoReturn, Self

__all__ = ["Secret"]


class Secret(str):
    """A key, or a header that holds one. Sent, compared and searched for like any text; but what shows the values of a
    program (a debugger, ``vars()``, a crash report with local variables) sees a mask, and nothing pickles it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[key]'"

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a key is not pickled: read it from the configuration again")
