"""Whether draws can be trusted: R-hat, effective sample sizes, summaries and plain words.

Draws are arrays ``[chain, draw, ...]``. A statistic is NaN for an element of fewer than four
draws, with a draw that is not finite, or that never moves.

References:
    Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021, "Rank-normalization, folding, and
    localization: an improved R-hat for assessing convergence of MCMC".
    Betancourt 2016, "Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import arviz_base
import numpy as np
import pandas as pd
import scipy.special
import scipy.stats
import xarray as xr
from arviz_stats.base import array_stats

from .errors import DataError, OptionsError
from .labels import label_of

__all__ = [
    "ess_bulk",
    "ess_tail",
    "hdi",
    "mcse_mean",
    "r_hat",
    "summary",
    "to_datatree",
    "verdicts",
]

R_HAT_LIMIT = 1.01
"""Vehtari et al. 2021."""
ESS_PER_CHAIN = 100
"""Vehtari et al. 2021: 400 for four chains, or the estimates themselves are unreliable."""
BFMI_LIMIT = 0.3
"""Energy fractions below it say that a sampler explores the tails too slowly."""
MIN_DRAWS = 4
_CHUNK = 256  # elements that are taken to float64 at a time


def r_hat(x: Any) -> np.ndarray:
    """Rank-normalised split R-hat of each element, the greater of bulk and folded.

    One chain is compared with itself: its first half with its second.

    Args:
        x: ``[chain, draw, ...]``.

    Returns:
        ``[...]``; 1 at convergence.

    Raises:
        DataError: If there are no chain and draw axes.
    """
    return _each(_r_hat, x)


def ess_bulk(x: Any) -> np.ndarray:
    """Effective sample size of rank-normalised draws, for the centre of each element.

    Args:
        x: ``[chain, draw, ...]``.

    Returns:
        ``[...]``.

    Raises:
        DataError: If there are no chain and draw axes.
    """
    return _each(lambda v: array_stats.ess(v, chain_axis=0, draw_axis=1, method="bulk"), x)


def ess_tail(x: Any) -> np.ndarray:
    """Effective sample size of the 5 % and 95 % quantiles, the smaller of the two.

    Arguments, result and errors are those of ``ess_bulk``.
    """
    return _each(
        lambda v: array_stats.ess(v, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)), x
    )


def mcse_mean(x: Any) -> np.ndarray:
    """Monte Carlo standard error of the mean of each element.

    Arguments and errors are those of ``ess_bulk``; the result is in the units of ``x``.
    """
    return _each(lambda v: array_stats.mcse(v, chain_axis=0, draw_axis=1, method="mean"), x)


def bfmi(energy: np.ndarray) -> np.ndarray:
    """E-BFMI of each chain: mean squared change of the energy over its variance.

    Args:
        energy: ``[chain, draw]``, at least two draws.

    Returns:
        ``[chain]``; NaN for a chain whose energy does not change.

    References:
        Betancourt 2016, "Diagnosing suboptimal cotangent disintegrations".
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = array_stats.bfmi(np.asarray(energy, np.float64), chain_axis=0, draw_axis=1)
    return np.asarray(found)


def hdi(x: Any, prob: float = 0.9) -> np.ndarray:
    """The shortest interval that holds ``prob`` of the draws of each element.

    Args:
        x: ``[chain, draw, ...]``.
        prob: In (0, 1).

    Returns:
        ``[..., 2]``: low, high. NaN where a draw is not finite.

    Raises:
        DataError: If there are no chain and draw axes.
        OptionsError: If ``prob`` is not in (0, 1).
    """
    values = _with_chains("x", x)
    flat = values.reshape(*values.shape[:2], -1)
    bounds = [_hdi(flat[..., part].astype("float64"), prob) for part in _parts(flat.shape[2])]
    return np.concatenate([np.empty((0, 2)), *bounds]).reshape(*values.shape[2:], 2)


def summary(
    draws: Mapping[str, Any], hdi_prob: float = 0.9, max_elements: int = 1000
) -> pd.DataFrame:
    """A table of each element of each site.

    Args:
        draws: Site name -> ``[chain, draw, ...]``.
        hdi_prob: Share of the draws in the interval, in (0, 1).
        max_elements: A larger site is represented by so many of its elements, evenly spaced;
            ``frame.attrs["notes"]`` says so, a sentence for each such site.

    Returns:
        Columns mean, sd, hdi_low, hdi_high, ess_bulk, ess_tail, r_hat; rows ``"scale"`` or
        ``"weights[0, 1]"``.

    Raises:
        DataError: If a site has no chain and draw axes, or the sites differ in them.
        OptionsError: If an option is not admitted.
    """
    sites = _checked(draws)
    rows: list[str] = []
    parts: list[Mapping[str, np.ndarray]] = []
    notes = []
    for name, values in sites.items():
        index = _selected(values, max_elements)
        size = int(np.prod(values.shape[2:]))
        if len(index) < size:
            notes.append(f"{name}: {len(index):,} of {size:,} elements, evenly spaced.")
        rows += [label_of(name, np.unravel_index(i, values.shape[2:])) for i in index]
        parts += _statistics(values, index, hdi_prob)
    columns = ("mean", "sd", "hdi_low", "hdi_high", "ess_bulk", "ess_tail", "r_hat")
    frame = pd.DataFrame(
        {c: np.concatenate([np.empty(0), *(part[c] for part in parts)]) for c in columns},
        index=pd.Index(rows, dtype=object),
    )
    frame.attrs["notes"] = notes
    return frame


def verdicts(
    draws: Mapping[str, Any],
    sample_stats: Mapping[str, Any] | None = None,
    max_elements: int = 1000,
) -> list[str]:
    """What is wrong with draws of a Markov chain, in plain words; nothing wrong is an empty list.

    Args:
        draws: Site name -> ``[chain, draw, ...]``.
            An element with one value in all draws of all chains is taken for a constant of the
            model, unless no element of its site moves.
        sample_stats: ArviZ' names -> ``[chain, draw]``; ``diverging``, ``energy`` and
            ``reached_max_treedepth`` are read where they are present.
        max_elements: Of a larger site so many elements, evenly spaced, are looked at.

    Raises:
        DataError: If a site has no chain and draw axes, or the sites differ in them.
        OptionsError: If an option is not admitted.
    """
    sites, stats = _checked(draws), _checked(sample_stats or {})
    found: list[str] = []
    chains, count = next(iter(sites.values())).shape[:2] if sites else (0, 0)
    if sites and count < MIN_DRAWS:
        return [f"{count} draws for each chain: too few to tell; {MIN_DRAWS} is the least"]
    if chains == 1:
        found.append(
            "1 chain: R-hat compares its halves alone; run 4 chains to see whether they agree"
        )
    for name, values in sites.items():
        index = _selected(values, max_elements)
        labels = [label_of(name, np.unravel_index(i, values.shape[2:])) for i in index]
        parts = list(_statistics(values, index, 0.9))
        if parts:
            table = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            found += _site_verdicts(table, labels, ESS_PER_CHAIN * chains)
    return found + _sampler_verdicts(stats)


def to_datatree(
    draws: Mapping[str, Any],
    sample_stats: Mapping[str, Any] | None = None,
    observed: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Draws as ArviZ and xarray know them: groups posterior, sample_stats, observed_data.

    Args:
        draws: Site name -> ``[chain, draw, ...]``.
        sample_stats: Name -> ``[chain, draw, ...]``.
        observed: Name -> array of any shape.

    Raises:
        DataError: If something has no chain and draw axes, or they differ.
    """
    groups = {"posterior": _checked(draws)}
    if sample_stats:
        groups["sample_stats"] = _checked(sample_stats)
        _checked({**groups["posterior"], **groups["sample_stats"]})
    if observed:
        groups["observed_data"] = {name: np.asarray(value) for name, value in observed.items()}
    return arviz_base.from_dict(
        groups,
        sample_dims=["chain", "draw"],
        check_conventions=False,
        attrs={"posterior": {"inference_library": "tfbdl"}},
    )


def _r_hat(x: np.ndarray) -> np.ndarray:
    half = x.shape[1] // 2
    halves = np.concatenate([x[:, :half], x[:, -half:]])  # [2 chain, draw / 2, k]
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    bulk, tail = (_plain_r_hat(_rank_normal(values)) for values in (halves, folded))
    return np.asarray(np.fmax(bulk, tail))  # folding leaves a coin's draws without a tail: NaN


def _plain_r_hat(x: np.ndarray) -> np.ndarray:
    """R-hat of chains as they are, from the variances between and within them."""
    n = x.shape[1]
    within = x.var(axis=1, ddof=1).mean(axis=0)
    between = n * x.mean(axis=1).var(axis=0, ddof=1)
    still = np.ptp(x, axis=1).max(axis=0) == 0  # the variance within is then 0 but for rounding
    apart = np.where(np.ptp(x, axis=(0, 1)) > 0, np.inf, np.nan)
    return np.where(still, apart, np.sqrt((n - 1 + between / np.where(still, 1, within)) / n))


def _rank_normal(x: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks over chains and draws, with Blom's offset."""
    flat = x.reshape(-1, x.shape[2])
    ranks = scipy.stats.rankdata(flat, axis=0)
    scores: np.ndarray = scipy.special.ndtri((ranks - 0.375) / (len(flat) + 0.25))
    return scores.reshape(x.shape)


def _each(statistic: Callable[[np.ndarray], np.ndarray], x: Any) -> np.ndarray:
    """Apply a statistic of ``[chain, draw, k]`` to the elements where it is defined."""
    values = _with_chains("x", x)
    flat = values.reshape(*values.shape[:2], -1)
    result = np.full(flat.shape[2], np.nan)
    for part in _parts(flat.shape[2]):
        chunk = flat[..., part].astype("float64")
        defined = np.isfinite(chunk).all(axis=(0, 1)) & (np.ptp(chunk, axis=(0, 1)) > 0)
        if chunk.shape[1] >= MIN_DRAWS and defined.any():
            result[part][defined] = statistic(chunk[..., defined])
    return result.reshape(values.shape[2:])


def _hdi(x: np.ndarray, prob: float) -> np.ndarray:
    if not 0 < prob < 1:
        raise OptionsError(f"The share of an interval must be in (0, 1). Received: {prob!r}.")
    finite = np.isfinite(x).all(axis=(0, 1))
    bounds = np.full((x.shape[2], 2), np.nan)
    if finite.any() and x.shape[0] * x.shape[1] > 0:
        bounds[finite] = array_stats.hdi(x[..., finite], prob=prob, axis=(0, 1), method="nearest")
    return bounds


def _statistics(
    values: np.ndarray, index: np.ndarray, hdi_prob: float
) -> Iterator[dict[str, np.ndarray]]:
    """The columns of a summary for chunks of the elements at ``index``."""
    flat = values.reshape(*values.shape[:2], -1)
    for part in _parts(len(index)):
        x = flat[..., index[part]].astype("float64")
        bounds = _hdi(x, hdi_prob)
        with np.errstate(invalid="ignore"):  # infinite draws: the mean says so
            mean, sd = x.mean(axis=(0, 1)), _sd(x)
        yield {
            "mean": mean,
            "sd": sd,
            "hdi_low": bounds[:, 0],
            "hdi_high": bounds[:, 1],
            "ess_bulk": ess_bulk(x),
            "ess_tail": ess_tail(x),
            "r_hat": r_hat(x),
        }


def _sd(x: np.ndarray) -> np.ndarray:
    if x.shape[0] * x.shape[1] < 2:
        return np.full(x.shape[2], np.nan)
    return np.where(np.ptp(x, axis=(0, 1)) == 0, 0.0, x.std(axis=(0, 1), ddof=1))


def _site_verdicts(
    table: Mapping[str, np.ndarray], labels: list[str], least_ess: int
) -> Iterator[str]:
    def worst(bad: np.ndarray, value: np.ndarray) -> str:
        others = int(bad.sum()) - 1
        more = f" and {others:,} more of {len(labels):,} looked at" if others else ""
        return labels[int(np.argmax(np.where(bad, value, -np.inf)))] + more

    broken = ~np.isfinite(table["mean"])
    if broken.any():
        yield f"draws that are not finite for {worst(broken, broken * 1.0)}: do not use"
    stuck = table["sd"] == 0
    if stuck.all():  # some among others are constants, such as the zeros of a triangular matrix
        yield f"no movement at all for {worst(stuck, stuck * 1.0)}: all draws are equal"
    high = table["r_hat"] > R_HAT_LIMIT
    if high.any():
        value = np.max(table["r_hat"][high])
        yield f"R-hat {value:.3f} > {R_HAT_LIMIT} for {worst(high, table['r_hat'])}: do not use"
    for column, where in (("ess_bulk", "bulk"), ("ess_tail", "tail")):
        low = table[column] < least_ess
        if low.any():
            value = np.min(table[column][low])
            yield (
                f"{where} ESS {value:.0f} < {least_ess} for {worst(low, -table[column])}: "
                "draw more, the estimates are unreliable"
            )


def _sampler_verdicts(stats: Mapping[str, np.ndarray]) -> list[str]:
    found = []
    if "diverging" in stats and (count := int(np.sum(stats["diverging"]))):
        total = stats["diverging"].size
        found.append(
            f"{count:,} divergent of {total:,} transitions: draws may miss a region of high "
            "curvature; raise target_accept or reparameterise"
        )
    if "energy" in stats and stats["energy"].shape[1] > 1:
        by_chain = bfmi(stats["energy"])
        if (by_chain < BFMI_LIMIT).any():
            worst = int(np.nanargmin(by_chain))
            found.append(
                f"E-BFMI {by_chain[worst]:.2f} < {BFMI_LIMIT} in chain {worst}: "
                "the tails are explored slowly; reparameterise"
            )
    if "reached_max_treedepth" in stats and (share := np.mean(stats["reached_max_treedepth"])):
        found.append(
            f"{share:.1%} of transitions ended at the greatest tree depth: slow, not wrong; raise "
            "max_tree_depth or warm up longer"
        )
    return found


def _parts(size: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, size, _CHUNK)]


def _selected(values: np.ndarray, max_elements: int) -> np.ndarray:
    if max_elements < 1:
        raise OptionsError(f"'max_elements' must be at least 1. Received: {max_elements!r}.")
    size = int(np.prod(values.shape[2:]))
    if size <= max_elements:
        return np.arange(size)
    return np.arange(max_elements) * size // max_elements


def _with_chains(name: str, x: Any) -> np.ndarray:
    values = np.asarray(x)
    if values.ndim < 2 or values.dtype.kind not in "biuf":
        raise DataError(
            f"Draws must be numbers of shape [chain, draw, ...]. Received: {name!r} of shape "
            f"{values.shape}, dtype {values.dtype}."
        )
    return values


def _checked(draws: Mapping[str, Any]) -> dict[str, np.ndarray]:
    sites = {name: _with_chains(name, values) for name, values in draws.items()}
    if len({values.shape[:2] for values in sites.values()}) > 1:
        shapes = ", ".join(f"{name} {values.shape[:2]}" for name, values in sites.items())
        raise DataError(f"Expected: equal numbers of chains and draws. Received: {shapes}.")
    return sites
