"""Whether a number in text is held by a 64-bit type without losing a digit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_WHOLE = r"\s*-?(?:0|[1-9][0-9]*)\s*"
_NUMBER = r"\s*(?:-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[nN][aA][nN])\s*"
SURE_DIGITS = 15
"""So many decimal digits go through a 64-bit float and back unchanged (IEEE 754; ``DBL_DIG`` of C)."""

FLOAT_HOLDS = 2**53
"""Below it a 64-bit float holds every whole number; from it on it may stand for one of several."""


def whole_sql(value: str) -> str:
    """SQL: whether a text is a whole number in plain writing, and an int64 holds it.

    ``007`` and ``+7`` are no plain numbers: they would no longer be told from ``7``.
    """
    return f"regexp_full_match({value}, '{_WHOLE}') AND TRY_CAST({value} AS BIGINT) IS NOT NULL"


def number_sql(value: str) -> str:
    """SQL: whether a text is a number in plain writing; whether a float holds its digits is another question.

    Digits alone are one only as far as a float tells each whole number from the next: beyond that they are an id.
    """
    id_ = f"regexp_full_match({value}, '{_WHOLE}') AND abs(TRY_CAST({value} AS DOUBLE)) >= {FLOAT_HOLDS}"
    return f"regexp_full_match({value}, '{_NUMBER}') AND NOT ({id_})"


def doubtful_sql(value: str) -> str:
    """SQL: whether a number in plain writing may lose digits in a float, so that :func:`is_exact` must look at it."""
    number = f"TRY_CAST({value} AS DOUBLE)"
    digits = f"ltrim(replace(regexp_replace(trim({value}), '[eE].*', ''), '.', ''), '-0')"
    few = f"(strlen({digits}) <= {SURE_DIGITS} AND (abs({number}) BETWEEN 1e-290 AND 1e290 OR {digits} = ''))"
    return f"NOT coalesce({few} OR CAST({number} AS VARCHAR) = trim({value}) OR isnan({number}), false)"


def is_exact(text: str) -> bool:
    """Whether a float, written with as many digits as the text has, gives the text's digits again."""
    number = float(text)
    if not math.isfinite(number):
        return math.isnan(number)
    digits = _digits(text)
    return not digits or _digits(f"{number:.{len(digits) - 1}e}") == digits


def are_exact(texts: pa.ChunkedArray) -> bool:
    """Whether floats hold all numbers of a column of texts; nulls do no harm."""
    import pyarrow as pa

    from evergreen.lake.duck import query

    sql = f"SELECT t FROM texts WHERE t IS NOT NULL AND {doubtful_sql('t')}"
    return all(is_exact(each.as_py()) for each in query(sql, {"texts": pa.table({"t": texts})}, {})["t"])


def _digits(text: str) -> str:
    mantissa = text.strip().lower().partition("e")[0]
    return "".join(each for each in mantissa if each.isdigit()).lstrip("0")
