"""Read a kernel that is written as sums and products, and name its hyperparameters; light."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tfbdl.errors import did_you_mean

PARAMETERS: dict[str, tuple[str, ...]] = {
    "constant": (),
    "linear": ("length_scale",),
    "matern12": ("length_scale",),
    "matern32": ("length_scale",),
    "matern52": ("length_scale",),
    "periodic": ("length_scale", "period"),
    "rational_quadratic": ("length_scale", "mixture"),
    "rbf": ("length_scale",),
}
"""Factor -> its hyperparameters, beside the variance of each term."""


@dataclass(frozen=True)
class Factor:
    """A kernel by name, and what its hyperparameters are called in the whole.

    Attributes:
        kind: A key of PARAMETERS.
        names: Its own word for a hyperparameter -> the name of the site.
    """

    kind: str
    names: dict[str, str]


@dataclass(frozen=True)
class Term:
    """``variance * product of factors``."""

    variance: str
    factors: tuple[Factor, ...]


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a sum of products.

    Raises:
        ValueError: If a factor is missing or has no such name.
    """
    seen: Counter[str] = Counter()

    def named(word: str) -> str:
        seen[word] += 1
        return word if seen[word] == 1 else f"{word}_{seen[word]}"

    terms = []
    for term in text.split("+"):
        variance = named("variance")
        factors = []
        for factor in term.split("*"):
            kind = factor.strip()
            if kind not in PARAMETERS:
                raise ValueError(
                    f"no kernel is named {kind!r}.{did_you_mean(kind, PARAMETERS)} Expected: sums "
                    f"and products of {', '.join(PARAMETERS)}, such as 'rbf + periodic * rbf'"
                )
            factors.append(Factor(kind, {word: named(word) for word in PARAMETERS[kind]}))
        terms.append(Term(variance, tuple(factors)))
    return tuple(terms)
