"""Bounds that Great Expectations would round: it makes floats of them, and not every whole number above 2^53 is one."""

from __future__ import annotations

from typing import Any


class WholeBound(float):
    """A whole number that no float holds, told as a float and compared as what it is."""

    _whole: int

    def __new__(cls, whole: int) -> WholeBound:
        """A float close to the number, which it keeps."""
        made = super().__new__(cls, whole)
        made._whole = whole
        return made

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Compares with numpy's numbers and arrays as a whole number; is a float to all else (``isnan``)."""
        is_compared = len(inputs) == 2
        plain = [(x._whole if is_compared else float(x)) if isinstance(x, WholeBound) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)

    def __eq__(self, other: object) -> bool:
        return bool(self._whole == other)

    def __hash__(self) -> int:
        return hash(self._whole)

    def __lt__(self, other: Any) -> bool:
        return bool(self._whole < other)

    def __le__(self, other: Any) -> bool:
        return bool(self._whole <= other)

    def __gt__(self, other: Any) -> bool:
        return bool(self._whole > other)

    def __ge__(self, other: Any) -> bool:
        return bool(self._whole >= other)

    def __repr__(self) -> str:
        return repr(self._whole)


def exact(value: Any) -> Any:
    """The value itself, or a bound that is compared as the whole number that it is."""
    if type(value) is not int:
        return value
    try:
        return value if float(value) == value else WholeBound(value)
    except OverflowError:
        return value
