"""Markov chains over subsets, for ground sets too large to decompose a kernel.

Each chain keeps its subset Y and the inverse of ``L_Y``. The determinants of subsets that differ
by an item then have ratios in closed form, so a step costs ``|Y|^2``. Chains run side by side in
arrays padded to the largest subset.

References:
    Anari, Oveis Gharan, Rezaei 2016, "Monte Carlo Markov chain algorithms for sampling strongly
    Rayleigh distributions and determinantal point processes", COLT (exchange: mixing time).
    Li, Jegelka, Sra 2016, "Fast mixing Markov chains for strongly Rayleigh measures, DPPs, and
    constrained sampling", NeurIPS, algorithms 1 and 2 (add-delete and exchange together).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .chain_state import ChainState, Entries, entries_of

MAX_CHAINS = 256
REFRESH = 400  # steps after which inverses are computed anew


def add_delete(
    n: int,
    rng: np.random.Generator,
    *,
    L: np.ndarray | None = None,
    features: np.ndarray | None = None,
    burn_in: int | None = None,
    thin: int | None = None,
    chains: int | None = None,
) -> list[np.ndarray]:
    """Draws of a DPP by insertions, deletions and exchanges of one item.

    Half of the steps propose to put in or to take out an item, the others to exchange one.

    Args:
        n: How many subsets.
        rng: Where the randomness comes from.
        L: ``[items, items]``.
        features: Or F with ``L = F F'``, ``[items, d]``.
        burn_in: Steps before the first draw; by default ``max(200, 10 items)``, at most 20,000.
        thin: Steps between two draws of a chain; by default half of it, at most 2,000.
        chains: How many run side by side; by default n, at most 256.

    Returns:
        Sorted indices, an array for each draw.
    """
    items, entries, diagonal = entries_of(L, features)
    count = min(n, MAX_CHAINS if chains is None else chains)
    state = ChainState([np.empty(0, np.int64)] * count, entries, diagonal)

    def step() -> None:
        where = rng.integers(items, size=count)
        uniforms = rng.random(count)
        toggles = rng.random(count) < 0.5
        inside, slot = state.find(where)
        ratio = np.where(inside, state.deletion_ratio(slot), state.addition_ratio(where))
        accepted = uniforms < ratio
        out = (toggles & inside & accepted, slot)
        other = rng.random(count)
        old = np.minimum((other * state.sizes).astype(int), np.maximum(state.sizes - 1, 0))
        possible = ~toggles & ~inside & (state.sizes > 0)
        swapped = possible & (uniforms < state.exchange_ratio(old, where))
        state.delete(np.where(swapped, old, out[1]), out[0] | swapped)
        state.add(where, (toggles & ~inside & accepted) | swapped)

    return _run(state, step, n, items, burn_in, thin)


def exchange(
    k: int,
    n: int,
    rng: np.random.Generator,
    *,
    L: np.ndarray | None = None,
    features: np.ndarray | None = None,
    burn_in: int | None = None,
    thin: int | None = None,
    chains: int | None = None,
) -> list[np.ndarray]:
    """Draws of a k-DPP by exchanges of an item inside for one outside.

    Args:
        k: Items of a subset.
        n, rng, L, features, burn_in, thin, chains: As for ``add_delete``.

    Returns:
        Sorted indices, an array ``[k]`` for each draw.
    """
    items, entries, diagonal = entries_of(L, features)
    count = min(n, MAX_CHAINS if chains is None else chains)
    starts = [_start(k, entries, diagonal, rng) for _ in range(count)]
    state = ChainState(starts, entries, diagonal)

    def step() -> None:
        where = rng.integers(items, size=count)
        old = rng.integers(k, size=count)
        inside, _ = state.find(where)
        ratio = state.exchange_ratio(old, where)
        swapped = ~inside & (rng.random(count) < ratio)
        state.delete(old, swapped)
        state.add(where, swapped)

    return _run(state, step, n, items, burn_in, thin)


def _run(
    state: ChainState,
    step: Callable[[], None],
    n: int,
    items: int,
    burn_in: int | None,
    thin: int | None,
) -> list[np.ndarray]:
    burn_in = min(max(200, 10 * items), 20_000) if burn_in is None else burn_in
    thin = min(max(100, 5 * items), 2_000) if thin is None else thin
    found: list[np.ndarray] = []
    steps = 0
    for wait in [burn_in] + [thin] * (-(-n // state.num_chains) - 1):
        for _ in range(wait):
            step()
            steps += 1
            if steps % REFRESH == 0:
                state.refresh()
        found += state.subsets()
    return found[:n]


def _start(k: int, entries: Entries, diagonal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A subset of nonzero determinant: each item in proportion to what it adds to the volume."""
    every = np.arange(len(diagonal))
    gains = diagonal.copy()
    C = np.empty((k, len(gains)))
    chosen = np.empty(k, np.int64)
    for t in range(k):
        cumulative = np.cumsum(np.maximum(gains, 0.0))
        place = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
        chosen[t] = item = min(int(place), len(gains) - 1)
        row = entries(np.array([item]), every[np.newaxis])[0]
        C[t] = (row - C[:t, item] @ C[:t]) / np.sqrt(gains[item])
        gains -= C[t] ** 2
        gains[chosen[: t + 1]] = 0.0
    return chosen
