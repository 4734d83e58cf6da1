"""What DPP and KDPP share: how they are given, items that are always in, draws and entropy."""

from __future__ import annotations

import abc
from typing import Any, Self

import numpy as np

from tfbdl.config import check_whole
from tfbdl.errors import DataError, OptionsError

from .checks import check_array, check_K, check_L, check_subset
from .ensemble import Ensemble, FeatureEnsemble, MarginalEnsemble, l_ensemble
from .enumeration import MAX_ITEMS, entropy

SAMPLE, ENTROPY = 1, 2  # streams of a seed


def ensemble_of(L: Any = None, K: Any = None, features: Any = None) -> Ensemble:
    """The checked form of what was given.

    Raises:
        OptionsError: If not exactly one of them was.
        DataError: If it is not what it should be.
    """
    given = [n for n, v in (("L", L), ("K", K), ("features", features)) if v is not None]
    if len(given) != 1:
        raise OptionsError(
            "A DPP is given by L, by K or by features. Expected one of them. "
            f"Received: {' and '.join(given) or 'none'}."
        )
    if L is not None:
        return l_ensemble(check_L(L))
    if K is not None:
        return MarginalEnsemble(check_K(K))
    return FeatureEnsemble(check_array(features, "features"))


def generator(seed: int, stream: int) -> np.random.Generator:
    """The numbers of a seed for one purpose.

    Raises:
        OptionsError: If the seed is no integer of at least 0.
    """
    return np.random.default_rng([check_whole("seed", seed, least=0), stream])


class SubsetProcess(abc.ABC):
    """A distribution over subsets of items 0 to n - 1.

    Attributes:
        num_items: n.
    """

    def __init__(self, ensemble: Ensemble, always: np.ndarray) -> None:
        self._ensemble = ensemble
        self._always = always  # items that every subset has; their rows of the ensemble are zero
        self.num_items = ensemble.num_items

    @abc.abstractmethod
    def _log_prob(self, items: np.ndarray) -> float:
        """Of sorted indices."""

    @abc.abstractmethod
    def _draw(self, n: int, method: str, rng: np.random.Generator) -> list[np.ndarray]:
        """Subsets without the items that are always in."""

    @abc.abstractmethod
    def _probabilities(self) -> np.ndarray:
        """Of all subsets that can come, of a small ground set."""

    @abc.abstractmethod
    def _conditioned(self, include: np.ndarray, exclude: np.ndarray) -> Self:
        """Given items that are neither always in nor asked for twice."""

    def log_prob(self, subset: Any) -> float | np.ndarray:
        """``log P(Y = subset)`` in nats; -inf for what cannot come.

        Args:
            subset: Distinct indices, or booleans ``[n]``; booleans ``[m, n]`` are m subsets.

        Returns:
            A number; an array ``[m]`` for m subsets.

        Raises:
            DataError: If it is no subset of the items.
        """
        array = np.asarray(subset)
        if array.dtype == bool and array.ndim == 2 and array.shape[1] == self.num_items:
            return np.array([self._log_prob(np.flatnonzero(row)) for row in array])
        return self._log_prob(check_subset(subset, self.num_items))

    def condition(self, include: Any = (), exclude: Any = ()) -> Self:
        """The process given that some items are in the subset and others are not.

        Items keep their numbers: draws hold those of ``include``, and ``log_prob`` is that of the
        whole subset.

        Args:
            include: Items that are in.
            exclude: Items that are out.

        Raises:
            DataError: If an item is in both, or what is asked for has probability 0.
        """
        inside = check_subset(include, self.num_items, "include")
        outside = check_subset(exclude, self.num_items, "exclude")
        both = np.intersect1d(np.union1d(inside, self._always), outside)
        if len(both):
            raise DataError(f"An item cannot be both in and out. Received: {both.tolist()}.")
        return self._conditioned(np.setdiff1d(inside, self._always), outside)

    def entropy(self, draws: int | None = None, seed: int = 0) -> float:
        """``-E log P(Y)`` in nats: a sum over all subsets, of at most 16 items.

        Of more items there is no closed form: ``draws`` exact draws give an estimate without bias.

        Args:
            draws: How many draws to average over; None: all subsets.
            seed: Of the draws.

        Raises:
            OptionsError: If there are more than 16 items and no ``draws``.
        """
        if draws is None:
            if self.num_items > MAX_ITEMS:
                raise OptionsError(
                    f"The entropy of more than {MAX_ITEMS} items is an estimate from draws. "
                    f"Expected draws, for example 1000. Received: {self.num_items} items, no draws."
                )
            return entropy(self._probabilities())
        subsets = self._sets(check_whole("draws", draws), "spectral", generator(seed, ENTROPY))
        return -float(np.mean([self._log_prob(subset) for subset in subsets]))

    def _sets(self, n: int, method: str, rng: np.random.Generator) -> list[np.ndarray]:
        """Whole subsets, sorted."""
        found = self._draw(n, method, rng)
        if len(self._always) == 0:
            return found
        return [np.sort(np.concatenate([self._always, subset])) for subset in found]

    def _rest(self, items: np.ndarray) -> np.ndarray | None:
        """A subset without the items that are always in; None if it lacks one of these."""
        if len(self._always) == 0:
            return items
        rest = np.setdiff1d(items, self._always)
        return rest if len(rest) == len(items) - len(self._always) else None
