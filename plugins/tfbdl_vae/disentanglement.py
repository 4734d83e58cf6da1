"""How well codes part the factors of a simulator: three scores of any encoder.

Each takes ``encode``, a function from images to codes ``[n, d]`` (such as a VAE's ``codes``) or to
a distribution of them, whose mean is taken (its ``encode``), or an object that has ``codes``; a
``simulator`` of known factors; and a seed. Where the simulator's images can be counted they are
encoded once, and codes are looked up. No score depends on the unit of all codes.

No score stands alone. Higgins' is lenient: where only one factor is held, a classifier recognises
it by a trace in all codes, so that rotations of the true factors score 0.94 in the median; the
mutual information gap sees that, but punishes codes that share a factor in other ways too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression

from tfbdl.config import check_whole
from tfbdl.errors import DataError, TfbdlWarning

GRID = 2**18
"""Images that are all encoded beforehand, at most."""
BLOCK = 4096
POINTS_AT_ONCE = 512
POINTS_OF_SPREAD = 10_000
NEGLIGIBLE = 1e-2
"""The least share of the largest variance of a code for a code not to count as collapsed."""


class Simulator(Protocol):
    """What the scores ask of a simulator; Shapes2D is one.

    Attributes:
        factor_sizes: How many values each of the K factors has; they are counted from 0.
    """

    @property
    def factor_sizes(self) -> Sequence[int]: ...

    def sample_factors(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Independent factors ``[n, K]``, whole numbers."""

    def images(self, factors: np.ndarray) -> Any:
        """What is encoded, of factors ``[n, K]``: ``[n, ...]``."""


def beta_vae_score(
    encode: Any,
    simulator: Simulator,
    seed: int = 0,
    *,
    num_train: int = 5000,
    num_eval: int = 2000,
    batch: int = 64,
) -> float:
    """Accuracy with which a linear classifier tells the factor that pairs of images share.

    A point: a factor is chosen, ``batch`` pairs are drawn whose two images share it, and the
    absolute differences of their codes are averaged. The classifier is a multinomial logistic
    regression of scikit-learn (C = 1); the points that score it are drawn afresh. A code's unit is
    its standard deviation over images, but at least a tenth of the largest of all codes, so that
    the trace that factors leave in a collapsed code stays as small as it is.

    Args:
        encode: From images to codes ``[n, d]``, or to a distribution of them.
        simulator: Of images with known factors.
        seed: Of all draws.
        num_train: Points that train the classifier.
        num_eval: Points that score it.
        batch: Pairs in a point.

    Returns:
        From 1 / K, by chance, to 1.

    Raises:
        DataError: If the codes are not finite numbers ``[n, d]``.
        OptionsError: If a number of points is no integer, or below 1.

    References:
        Higgins et al. 2017, "beta-VAE", section 3 and algorithm 1.
    """
    _check_counts(num_train=num_train, num_eval=num_eval, batch=batch)
    codes = _codes_of(encode, simulator)
    rng = np.random.default_rng(seed)
    deviation = np.sqrt(_variance(codes(simulator.sample_factors(POINTS_OF_SPREAD, rng))))
    unit = np.maximum(deviation, np.sqrt(NEGLIGIBLE) * deviation.max())
    unit[unit == 0.0] = 1.0

    def points(n: int) -> tuple[np.ndarray, np.ndarray]:
        shared = rng.integers(0, len(simulator.factor_sizes), n)
        each = np.repeat(shared, batch)
        row = np.arange(len(each))
        first = simulator.sample_factors(len(each), rng)
        second = simulator.sample_factors(len(each), rng)
        second[row, each] = first[row, each]
        difference = np.abs(codes(first) - codes(second)) / unit
        return difference.reshape(n, batch, -1).mean(axis=1, dtype="float64"), shared

    train, held = _in_blocks(points, num_train), _in_blocks(points, num_eval)
    if len(np.unique(train[1])) == 1:  # one factor: nothing to tell apart
        return float(np.mean(held[1] == train[1][0]))
    classifier = LogisticRegression(max_iter=10_000).fit(*train)
    return float(classifier.score(*held))


def mutual_information_gap(
    encode: Any, simulator: Simulator, seed: int = 0, *, num_points: int = 10_000, bins: int = 20
) -> float:
    """Gap of mutual information between the two codes that know most of a factor, over its entropy.

    ``mean_k (I(z_first; v_k) - I(z_second; v_k)) / H(v_k)``, of codes cut into equal bins.

    Args:
        encode: From images to codes ``[n, d]``, or to a distribution of them.
        simulator: Of images with known factors.
        seed: Of the factors.
        num_points: Images.
        bins: Equal intervals into which the range of each code is cut.

    Returns:
        From 0 to 1: 1 where each factor is in one code alone.

    Raises:
        DataError: If the codes are not finite numbers ``[n, d]``, or a factor does not vary.
        OptionsError: If a number is no integer, or below 1.

    References:
        Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 6.
    """
    _check_counts(num_points=num_points, bins=bins)
    factors = simulator.sample_factors(num_points, np.random.default_rng(seed))
    drawn, place = np.unique(factors, axis=0, return_inverse=True)
    binned = _binned(_encoder_of(encode, simulator)(drawn)[place.reshape(-1)], bins)
    gaps = []
    for k, size in enumerate(simulator.factor_sizes):
        if (factors[:, k] == factors[0, k]).all():
            raise DataError(
                "The gap of a factor is a share of its entropy. Expected factors of at least two "
                f"values each. Received: one value of factor {k} in {num_points} images."
            )
        counts = [_counts(code, bins, factors[:, k], size) for code in binned.T]
        known = [_mutual_information(table) for table in counts]
        first, second, *_ = sorted([*known, 0.0], reverse=True)  # a single code has no rival
        gaps.append((first - second) / _entropy(np.bincount(factors[:, k], minlength=size)))
    return float(np.mean(gaps))


def factor_vae_score(
    encode: Any,
    simulator: Simulator,
    seed: int = 0,
    *,
    num_train: int = 5000,
    num_eval: int = 2000,
    batch: int = 64,
    negligible: float = NEGLIGIBLE,
) -> float:
    """Accuracy of a majority vote by the code that varies least where one factor is held.

    A point: a factor is chosen and held at one value in ``batch`` images; the code whose variance
    over them is the least share of its variance over all images votes for the factor.

    Args:
        encode: From images to codes ``[n, d]``, or to a distribution of them.
        simulator: Of images with known factors.
        seed: Of all draws.
        num_train: Points of which the votes are counted.
        num_eval: Points that score them.
        batch: Images in a point, at least 2.
        negligible: Codes whose variance over all images is at most this share of the largest one
            have collapsed and take no part. Where all have, this cannot tell: look at a VAE's
            ``active_units`` beside the score.

    Returns:
        From 1 / K, by chance, to 1.

    Raises:
        DataError: If the codes are not finite numbers ``[n, d]``.
        OptionsError: If a number of points is no integer, or too small.

    References:
        Kim & Mnih 2018, "Disentangling by factorising", section 4 and figure 2.
    """
    _check_counts(num_train=num_train, num_eval=num_eval)
    check_whole("batch", batch, 2)
    codes = _codes_of(encode, simulator)
    rng = np.random.default_rng(seed)
    variance = _variance(codes(simulator.sample_factors(POINTS_OF_SPREAD, rng)))
    kept = np.flatnonzero(variance > negligible * variance.max())
    if not len(kept):
        warnings.warn(
            "No code varies over the images, so that none can vote: the score is by chance.",
            TfbdlWarning,
            stacklevel=2,
        )
    count = len(simulator.factor_sizes)

    def points(n: int) -> tuple[np.ndarray, np.ndarray]:
        held = rng.integers(0, count, n)
        factors = simulator.sample_factors(n * batch, rng).reshape(n, batch, count)
        row = np.arange(n)
        factors[row, :, held] = factors[row, 0, held][:, np.newaxis]
        if not len(kept):
            return np.zeros(n, "int64"), held
        found = codes(factors.reshape(-1, count))[:, kept].reshape(n, batch, -1)
        return (found.var(axis=1) / variance[kept]).argmin(axis=1), held

    votes = np.zeros((max(len(kept), 1), count), "int64")
    np.add.at(votes, _in_blocks(points, num_train), 1)
    code, held = _in_blocks(points, num_eval)
    return float(np.mean(votes.argmax(axis=1)[code] == held))


def _encoder_of(encode: Any, simulator: Simulator) -> Callable[[np.ndarray], np.ndarray]:
    """From factors ``[n, K]`` to checked codes ``[n, d]``, block by block."""
    function = getattr(encode, "codes", encode)

    def encoded(factors: np.ndarray) -> np.ndarray:
        blocks = (factors[i : i + BLOCK] for i in range(0, len(factors), BLOCK))
        return np.concatenate([_checked(function(simulator.images(b)), len(b)) for b in blocks])

    return encoded


def _codes_of(encode: Any, simulator: Simulator) -> Callable[[np.ndarray], np.ndarray]:
    """The same, looked up where that is possible."""
    encoded = _encoder_of(encode, simulator)
    sizes = tuple(simulator.factor_sizes)
    total = int(np.prod(sizes, dtype="float64"))
    if total > GRID:
        return encoded
    table = encoded(np.stack(np.unravel_index(np.arange(total), sizes), axis=1))
    return lambda factors: table[np.ravel_multi_index(tuple(factors.T), sizes)]


def _checked(given: Any, rows: int) -> np.ndarray:
    """Codes ``[rows, d]`` of numbers, or the mean of a distribution of codes."""
    expected = f"encode must give finite codes [{rows}, d] of {rows} images"
    try:
        if not hasattr(given, "__array__") and callable(getattr(given, "mean", None)):
            given = given.mean()
        codes = np.asarray(given, None if hasattr(given, "__array__") else "float64")
        if codes.dtype.kind != "f":
            codes = codes.astype("float64")
    except (TypeError, ValueError, NotImplementedError):
        raise DataError(
            f"{expected}, or a distribution of them that has a mean. Received: {given!r:.200}."
        ) from None
    if codes.ndim != 2 or len(codes) != rows or not codes.size or not np.isfinite(codes).all():
        raise DataError(
            f"{expected}. Received: "
            f"{'' if np.isfinite(codes).all() else 'NaN or Inf in '}shape {list(codes.shape)}."
        )
    return codes


def _variance(codes: np.ndarray) -> np.ndarray:
    """Of each code over the rows, ``[d]`` float64; of a constant one 0, without rounding."""
    return np.where(np.ptp(codes, axis=0) > 0, codes.var(axis=0, dtype="float64"), 0.0)


def _in_blocks(
    points: Callable[[int], tuple[np.ndarray, np.ndarray]], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """``n`` points, so many at a time that memory does not grow with their number of images."""
    blocks = [points(min(POINTS_AT_ONCE, n - i)) for i in range(0, n, POINTS_AT_ONCE)]
    first, second = zip(*blocks, strict=True)
    return np.concatenate(first), np.concatenate(second)


def _binned(codes: np.ndarray, bins: int) -> np.ndarray:
    """The interval of each code, counted from 0: ``[n, d]``; a constant code has one alone."""
    codes = codes.astype("float64")
    low, high = codes.min(axis=0), codes.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return np.minimum((codes - low) / width * bins, bins - 1).astype("int64")


def _counts(a: np.ndarray, sizes_a: int, b: np.ndarray, sizes_b: int) -> np.ndarray:
    """How often two whole numbers occur together: ``[sizes_a, sizes_b]``."""
    return np.bincount(a * sizes_b + b, minlength=sizes_a * sizes_b).reshape(sizes_a, sizes_b)


def _mutual_information(counts: np.ndarray) -> float:
    """``H(a) + H(b) - H(a, b)`` in nats."""
    marginals = _entropy(counts.sum(axis=1)) + _entropy(counts.sum(axis=0))
    return marginals - _entropy(counts.ravel())


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _check_counts(**counts: Any) -> None:
    for name, value in counts.items():
        check_whole(name, value)
