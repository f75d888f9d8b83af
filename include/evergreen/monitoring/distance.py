"""The Jensen-Shannon distance between two samples, without what sampling alone brings about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SEED = 20130101
DRAWS = 200
CERTAINTY = 0.99
"""Share of equal distributions' samples whose distance is 0."""
_MOST_CELLS = 400_000


def distance(reference: npt.NDArray[np.int64], current: npt.NDArray[np.int64]) -> float:
    """How far two samples' distributions are apart, 0 (alike) to 1 (no value in common).

    The distance is the square root of the Jensen-Shannon divergence to base 2 (Lin 1991, "Divergence measures based on
    the Shannon entropy"; a metric by Endres and Schindelin 2003). Two samples of one distribution have a divergence
    too, the larger the more values and the fewer rows there are: of k values and n and m rows about
    (k - 1)(1/n + 1/m) / (8 ln 2) (from the chi-squared limit of Grosse et al. 2002), and less where many values are
    rare. Here it is known without a limit, and so for small samples too: given what both samples hold together, every
    way of dealing it out to the two is as likely as any other if they are alike (a permutation test, Fisher 1935), and
    the counts are then multivariate hypergeometric. A divergence that at least 1 % of these deals reach counts as
    none; of a larger one, their mean is taken off.

    Args:
        reference: Counts by value, of shape (values,).
        current: Counts of the same values.
    """
    import numpy as np
    from scipy.spatial.distance import jensenshannon

    together = reference + current
    reference, current, together = reference[together > 0], current[together > 0], together[together > 0]
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m or len(together) < 2:
        return 0.0
    divergence = float(jensenshannon(reference / n, current / m, base=2)) ** 2
    draws = int(np.clip(_MOST_CELLS // len(together), 40, DRAWS))
    dealt = np.random.default_rng(SEED).multivariate_hypergeometric(together, n, size=draws, method="marginals").T
    by_chance = jensenshannon(dealt / n, (together[:, None] - dealt) / m, base=2, axis=0) ** 2
    if divergence <= np.quantile(by_chance, CERTAINTY) + 1e-12:
        return 0.0
    return min(1.0, float(np.sqrt(divergence - by_chance.mean())))
