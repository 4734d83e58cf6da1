"""Posterior: what every engine gives back, as draws or as a distribution that can be drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow as tf

from . import diagnostics, random
from .errors import ModelError, OptionsError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from .network import BayesianNetwork

Arrays = dict[str, np.ndarray]
DRAWS_BYTES = 256 * 2**20
MAX_DRAWS = 1_000
CONSTANT = "posterior_constant"


class Posterior:
    """A posterior as draws.

    Args:
        draws: Site name -> ``[chain, draw, ...]``, constrained values.
        sample_stats: Name -> ``[chain, draw]``: divergences, energies, and the like.
        independent: Whether each draw was made without the others, as the members of an ensemble
            are; draws of a Markov chain are not.

    Attributes:
        is_finite: Whether ``draws`` is all there is; otherwise more are drawn where they are asked.
        stored_as: Under which name ``tfbdl.load`` finds what reads it, where draws are not all.

    Raises:
        ModelError: If there are no draws, or their shapes do not agree.
    """

    is_finite = True
    stored_as: ClassVar[str | None] = None

    def __init__(
        self,
        draws: Mapping[str, Any],
        sample_stats: Mapping[str, Any] | None = None,
        *,
        independent: bool = False,
    ) -> None:
        self.independent = independent
        self._draws = {name: np.asarray(value) for name, value in draws.items()}
        self.sample_stats = {n: np.asarray(v) for n, v in (sample_stats or {}).items()}
        sizes = {name: value.shape[:2] for name, value in self._draws.items()}
        if (
            not sizes
            or any(len(s) < 2 or 0 in s for s in sizes.values())
            or len(set(sizes.values())) > 1
        ):
            raise ModelError(
                "A posterior needs draws of the shape [chain, draw, ...], equally many for each "
                f"site. Received: {sizes}."
            )

    @property
    def draws(self) -> Mapping[str, np.ndarray]:
        """Site name -> ``[chain, draw, ...]``."""
        return self._draws

    @property
    def num_draws(self) -> int:
        """Draws of all chains together."""
        chains, draws = next(iter(self.draws.values())).shape[:2]
        return chains * draws

    def point(self) -> Arrays:
        """Site name -> value: the one state in which a net that predicts by this stands."""
        return {name: draws[-1, -1] for name, draws in self.draws.items()}

    def sample(self, n: int, seed: int = 0) -> Arrays:
        """Draw ``n`` states: site name -> ``[n, ...]``."""
        _check_count(n)
        return {name: value.numpy() for name, value in self.states(0, n, seed, n).items()}

    def states(self, start: int, stop: int, seed: int, total: int) -> dict[str, tf.Tensor]:
        """Draws ``start`` to ``stop`` of a sample of ``total``; the same in any partition.

        As many as there are draws (or fewer): draws spread evenly over the chains, each once; the
        numbers of two chains differ by one at the most. More: all draws over and over, so that
        each counts as often as any other, but for a rest, which is spread likewise.
        """
        available = self.num_draws
        whole, rest = divmod(total, available)
        order = np.tile(np.arange(available), whole)
        if rest:
            order = np.concatenate([order, self._spread(seed)[:rest]])
        chain, draw = np.divmod(order[start:stop], available // self._num_chains)
        return {name: tf.constant(value[chain, draw]) for name, value in self.draws.items()}

    @property
    def _num_chains(self) -> int:
        return int(next(iter(self.draws.values())).shape[0])

    def _spread(self, seed: int) -> np.ndarray:
        """All draws, shuffled; every so many in a row as there are chains are one of each."""
        chains = self._num_chains
        rng = np.random.default_rng(seed)
        places = np.arange(self.num_draws).reshape(chains, -1)
        by_chain = rng.permuted(places, axis=1)
        return np.asarray(rng.permuted(by_chain.T, axis=1).ravel())

    def mean(self) -> Arrays:
        """Site name -> posterior mean."""
        return {
            n: v.mean(axis=(0, 1), dtype=np.float64).astype(_kind_of_moments(v))
            for n, v in self._without_repeats().items()
        }

    def stddev(self) -> Arrays:
        """Site name -> posterior standard deviation."""
        return {
            n: v.std(axis=(0, 1), dtype=np.float64).astype(_kind_of_moments(v))
            for n, v in self._without_repeats().items()
        }

    def covariance(self) -> Arrays:
        """Site name -> ``[size, size]``, the covariance of the flattened site."""
        flat = {n: v.reshape(self.num_draws, -1) for n, v in self.draws.items()}
        return {
            n: np.atleast_2d(np.cov(v.astype(np.float64), rowvar=False)) for n, v in flat.items()
        }

    def summary(self, **options: Any) -> pd.DataFrame:
        """A row for each number: mean, sd, hdi_low, hdi_high, ess_bulk, ess_tail, r_hat.

        Args:
            **options: Of ``tfbdl.diagnostics.summary``: ``hdi_prob``, ``max_elements``.
        """
        return diagnostics.summary(self.draws, **options)

    def to_arviz(self) -> xr.DataTree:
        """The draws as ArviZ reads them."""
        return diagnostics.to_datatree(self.draws, self.sample_stats or None)

    def to_netcdf(self, path: str | Path) -> None:
        """Write a file that ``from_netcdf`` reads, and ArviZ but for repeated sites.

        A site that repeats one array for all draws (a view by ``numpy.broadcast_to``) is written
        once, in the group ``posterior_constant``.
        """
        import xarray as xr

        repeated = {n: v[0, 0] for n, v in self.draws.items() if _is_repeated(v)}
        if len(repeated) == len(self.draws):
            repeated = {}
        others = {n: v for n, v in self.draws.items() if n not in repeated}
        tree = diagnostics.to_datatree(others, self.sample_stats or None)
        if repeated:
            variables = {
                n: ([f"{n}_dim_{i}" for i in range(v.ndim)], v) for n, v in repeated.items()
            }
            constants = xr.Dataset(variables, attrs={"sites": "/".join(self.draws)})
            tree[CONSTANT] = xr.DataTree(constants)
        tree.to_netcdf(path, engine="h5netcdf")

    @classmethod
    def from_netcdf(cls, path: str | Path, *, independent: bool = False) -> Posterior:
        """Read what ``to_netcdf`` wrote.

        Args:
            path: The file.
            independent: As for the class.
        """
        import xarray as xr

        with xr.open_datatree(path, engine="h5netcdf") as tree:
            draws = {str(n): v.values for n, v in tree["posterior"].data_vars.items()}
            stats = tree["sample_stats"].data_vars if "sample_stats" in tree else {}
            if CONSTANT in tree:
                leading = next(iter(draws.values())).shape[:2]
                for name, variable in tree[CONSTANT].data_vars.items():
                    value = variable.values
                    draws[str(name)] = np.broadcast_to(value, (*leading, *value.shape))
                draws = {name: draws[name] for name in tree[CONSTANT].attrs["sites"].split("/")}
            named = {str(name): value.values for name, value in stats.items()}
        return Posterior(draws, named, independent=independent)

    def _without_repeats(self) -> Arrays:
        """The draws, of which a site that repeats one array has a single draw."""
        return {n: v[:1, :1] if _is_repeated(v) else v for n, v in self.draws.items()}

    def diagnostics(self) -> list[str]:
        """What is wrong with the draws, in plain words; empty if nothing is.

        Independent draws have nothing that a Markov chain could do wrong.
        """
        if self.independent:
            return []
        return diagnostics.verdicts(self.draws, self.sample_stats or None)


class SurrogatePosterior(Posterior):
    """The Gaussian posterior of a BayesianNetwork: exact moments, and draws where they are asked.

    Learned parameters of likelihood and prior that are point estimates stand among the sites,
    with standard deviation zero.
    """

    is_finite = False

    def __init__(self, model: BayesianNetwork) -> None:
        self.model = model
        self.independent = True
        self.sample_stats: Arrays = {}
        self._cached: Arrays | None = None
        self._sampler = _sampler(model)

    @property
    def num_parameters(self) -> int:
        """How many numbers one state holds."""
        return int(self.model.surrogate.num_parameters)

    @property
    def num_draws(self) -> int:
        """How many draws ``.draws`` holds: 1,000, or fewer where they would not fit in memory."""
        return int(np.clip(DRAWS_BYTES // (4 * self.num_parameters), 10, MAX_DRAWS))

    @property
    def draws(self) -> Mapping[str, np.ndarray]:
        """Site name -> ``[1, draw, ...]``, drawn on first use at seed 0."""
        if self._cached is None:
            self._cached = {n: v[np.newaxis] for n, v in self.sample(self.num_draws).items()}
        return self._cached

    def states(self, start: int, stop: int, seed: int, total: int) -> dict[str, tf.Tensor]:
        """Draws ``start`` to ``stop``: draw i is a function of (seed, i) alone."""
        return dict(self._sampler(random.key(seed, "posterior"), tf.range(start, stop)))

    def mean(self) -> Arrays:
        """Site name -> mean of the Gaussian (of the draws, for a site with a bijector)."""
        return self._moments(self.model.surrogate.mean(), np.mean, 1.0)

    def stddev(self) -> Arrays:
        """Site name -> standard deviation of the Gaussian (of the draws, with a bijector)."""
        return self._moments(self.model.surrogate.stddev(), np.std, 0.0)

    def covariance(self) -> Arrays:
        """Site name -> ``[size, size]``: the site's block of the Gaussian's covariance.

        A site with a bijector has the covariance of its draws.

        Raises:
            ModelError: If all sites together have more than 10,000 numbers.
        """
        sizes = {n: int(np.prod(v.shape)) for n, v in self.model.surrogate.locs.items()}
        largest = max(sizes, key=lambda name: sizes[name])
        if self.num_parameters > 10_000:
            raise ModelError(
                f"The covariance of {self.num_parameters:,} parameters (the largest site is "
                f"{largest!r}) is too large to write out. Use stddev()."
            )
        whole = self.model.surrogate.covariance().numpy()
        ends = np.cumsum(list(sizes.values()))
        blocks = {
            name: whole[end - size : end, end - size : end]
            for (name, size), end in zip(sizes.items(), ends, strict=True)
        }
        curved = [name for name in blocks if name in self.model.learned]
        if not curved:
            return blocks
        return {**blocks, **Posterior({name: self.draws[name] for name in curved}).covariance()}

    def _moments(self, own: Mapping[str, tf.Tensor], of_draws: Any, point: float) -> Arrays:
        moments: Arrays = {}
        for name, value in own.items():
            if name in self.model.learned:
                moments[name] = of_draws(self.draws[name], axis=(0, 1))
            else:
                moments[name] = value.numpy()
        for name, value in self.model.learned_values({}).items():
            if name not in moments:
                moments[name] = point * value.numpy()
        return moments


def _sampler(model: BayesianNetwork) -> Any:
    """The compiled draw of states; kept on the model, since compiling takes its time."""
    if getattr(model, "state_sampler", None) is None:
        large = model.surrogate.num_parameters > 20_000

        @tf.function(jit_compile=large, autograph=False)
        def sample(key: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
            keys = random.fold_in(key, index)
            states = model.constrained(model.surrogate.sample(keys))
            count = tf.shape(index)[0]
            for name, value in model.learned_values({}).items():
                if name not in states:
                    states[name] = tf.broadcast_to(value, tf.concat([[count], tf.shape(value)], 0))
            return states

        model.state_sampler = sample
    return model.state_sampler


def _kind_of_moments(draws: np.ndarray) -> np.dtype:
    """The precision of moments: that of the draws; float64 where these are whole numbers."""
    return draws.dtype if draws.dtype.kind == "f" else np.dtype(np.float64)


def _is_repeated(draws: np.ndarray) -> bool:
    """Whether all draws are the same place in memory."""
    leading = zip(draws.shape[:2], draws.strides[:2], strict=True)
    return draws.shape[:2] != (1, 1) and all(n == 1 or stride == 0 for n, stride in leading)


def _check_count(n: int) -> None:
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise OptionsError(
            f"The number of draws must be an integer of at least 1. Received: {n!r}."
        )
