"""A page about a verdict, for people: one HTML file that needs nothing else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evergreen.quality.verdict import Verdict

_REASONS_SHOWN = 50


def report_html(verdict: Verdict, title: str) -> str:
    """The verdict as a self-contained page; every text of data or spec is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("evergreen.quality", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    reasons = Counter(reason for each in verdict.bad_rows.values() for reason in each)
    return environment.get_template("report.html.j2").render(
        verdict=verdict,
        title=title,
        stopping=[each for each in verdict.results if each.stops],
        reasons=reasons.most_common(_REASONS_SHOWN),
        more_reasons=max(0, len(reasons) - _REASONS_SHOWN),
    )
