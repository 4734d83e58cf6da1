"""The models ``dpp`` and ``k_dpp``: diverse subsets of a table's rows, and kernels learned."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import optimize

from tfbdl import Capability, random
from tfbdl.data import Dataset
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.parametric import ParametricModel
from tfbdl.protocols import Params, Site
from tfbdl.standardization import standardised

from .config import DPPOptions, KDPPOptions, SizedDPPOptions
from .dpp import DPP
from .ensemble import MAX_DENSE, L_of
from .k_dpp import KDPP
from .kernels import chosen_length_scale, linear, quality_diversity, rbf
from .learning import Learned, largest_likelihood
from .likelihood import NUGGET, largest_of, log_likelihood
from .observed import items_of, subsets_of
from .posterior import SubsetPosterior

tfb, tfd = tfp.bijectors, tfp.distributions

SPREAD = 1.0  # of the priors of quality and log relevance
INTERCEPT_SPREAD = 3.0


class SubsetModel(ParametricModel, abc.ABC):
    """A distribution over subsets of items, which are the rows of x.

    - Of ``x`` alone, or of a kernel among the options, ``exact`` gives the DPP itself: draws of
      ``subset``, boolean ``[chain, draw, item]``, and exact inclusion probabilities.
    - With targets ``y [n]`` or ``[n, m]``, whose columns say with 1 which items each observed
      subset has, ``exact`` learns quality and diversity by maximum likelihood, and the engines of
      a log joint (``nuts`` and others) give their posterior.

    Columns are standardised. Sites: ``quality [d]`` with prior N(0, 1), ``relevance [d]`` with
    prior LogNormal(log(1 / l), 1), l the length scale; of ``dpp`` also ``intercept`` with prior
    N(0, 9).
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.EXACT, Capability.LOG_JOINT}
    )
    default_engine: ClassVar[str] = "exact"
    vectorized: ClassVar[bool] = True
    options: DPPOptions

    @property
    def size(self) -> int | None:
        """K of a k-DPP."""
        return getattr(self.options, "k", None)

    def condition(self, data: Dataset | None) -> SubsetPosterior:
        """Take in items, and observed subsets if there are any.

        Items that come later are more items of the same ground set.

        Raises:
            DataError: If the rows or targets are not as they should be, or there are none.
            OptionsError: If data and a kernel are given.
        """
        given = [n for n in ("L", "K", "features") if getattr(self.options, n) is not None]
        if data is None:
            if not given:
                raise DataError(
                    "A DPP needs items: rows of data, or one of the options L, K and features. "
                    "Received: none."
                )
            name = given[0]
            self.assign({name: np.asarray(getattr(self.options, name), np.float64)})
            return self.posterior
        self._check_no_kernel()
        items = items_of(data.x)
        found = {"items": self._joined("items", items)}
        observed = data.y is not None and not self.options.ignore_targets
        if observed:
            subsets = subsets_of(data.y, len(items), None)
            found["subsets"] = self._joined("subsets", subsets.T)
        elif "subsets" in self.params:
            raise DataError("Items with targets came before. Expected (x, y). Received: x alone.")
        self.assign(found)
        if "subsets" in found and self._complete(found["subsets"]):
            self.assign(found | self._learn())
        return self.posterior

    @property
    def process(self) -> DPP | KDPP:
        """The DPP of the items taken in so far, by the learned kernel if there is one.

        Raises:
            ModelError: If there were no items.
            OptionsError: If k is above the rank.
        """
        self.fitted()
        return self._process

    @property
    def posterior(self) -> SubsetPosterior:
        """The distribution over subsets.

        Raises:
            ModelError: If there were no items.
        """
        return SubsetPosterior(self.process, self.options.draws)

    def process_at(self, params: Mapping[str, Any], items: Any = None) -> DPP | KDPP:
        """The DPP with given quality and relevance, for example the mean of a posterior.

        Args:
            params: ``quality [d]``, ``relevance [d]`` and, of ``dpp``, ``intercept``.
            items: ``[n, d]``; by default those of the fit.

        Raises:
            ModelError: If there are no items.
        """
        if items is None and "items" not in self.params:
            raise ModelError("There are no items yet. Expected items [n, d]. Received: None.")
        x = standardised(self.params["items"] if items is None else items_of(items))
        values = {name: np.asarray(value, np.float64) for name, value in params.items()}
        scores = x @ values["quality"] + values.get("intercept", 0.0)
        q = np.exp(0.5 * scores)
        scaled = x * values["relevance"]
        S = linear(scaled) if self.options.kernel == "linear" else rbf(scaled)
        S[np.diag_indices_from(S)] += NUGGET
        return self._made(L=quality_diversity(q, S))

    def figures(self) -> dict[str, float]:
        """Items, the expected size of a subset, and the largest log likelihood where one was."""
        if not self.params:
            return {}
        found = {
            "num_items": float(self.process.num_items),
            "expected_size": float(self.process.expected_size),
        }
        if "log_likelihood" in self.params:
            found["log_likelihood"] = float(self.params["log_likelihood"])
        return found

    def notices(self) -> list[str]:
        """Of parameters that grow without an end."""
        return [self._notice] if self._notice else []

    @property
    def sites(self) -> tuple[Site, ...]:
        """``quality``, ``relevance`` and, where the size varies, ``intercept``."""
        shape = (self._num_columns,)
        found = [
            Site("quality", shape, None, "float64"),
            Site("relevance", shape, tfb.Exp(), "float64"),
        ]
        return (*found, *([] if self.size else [Site("intercept", (), None, "float64")]))

    def init(self, seed: int) -> dict[str, tf.Tensor]:
        """Equal qualities and the length scale of the options, with a little noise."""
        centre = {"quality": 0.0, "relevance": self._log_relevance, "intercept": 0.0}
        start = {}
        for site in self.sites:
            noise = random.normal(site.shape, random.key(seed, "start", site.name), "float64")
            value = centre[site.name] + 0.1 * noise
            start[site.name] = tf.exp(value) if site.name == "relevance" else value
        return start

    def prior_of(self, site: str, params: Mapping[str, Any] | None = None) -> Any:
        """The prior of a site, of event shape the site's."""
        zero = tf.zeros([self._num_columns], tf.float64)
        if site == "intercept":
            return tfd.Normal(tf.zeros([], tf.float64), INTERCEPT_SPREAD)
        if site == "relevance":
            return tfd.Independent(tfd.LogNormal(zero + self._log_relevance, SPREAD), 1)
        return tfd.Independent(tfd.Normal(zero, SPREAD), 1)

    def _check_no_kernel(self) -> None:
        given = [n for n in ("L", "K", "features") if getattr(self.options, n) is not None]
        if given:
            raise OptionsError(
                f"The kernel comes from the data or from the option {given[0]}. "
                "Expected one of them. Received: both."
            )

    def observe(self, data: Dataset) -> None:
        """Check items and subsets, before an engine asks for their log joint.

        Raises:
            DataError: If the rows or targets are not as they should be.
            OptionsError: If data and a kernel are given.
        """
        self._check_no_kernel()
        items = items_of(data.x)
        if data.y is not None and not self.options.ignore_targets:
            subsets_of(data.y, len(items), self.size)

    def log_joint(self, params: Params, batch: Any) -> tf.Tensor:
        """Log prior plus the log likelihood of the observed subsets, in nats.

        Args:
            params: Of one state.
            batch: All items ``x [n, d]`` with targets ``y [n]`` or ``[n, m]``; without targets
                nothing was observed, and the prior is all there is.

        Raises:
            DataError: If the batch holds other than all items: a subset has no likelihood in parts.
        """
        return self.log_joints({n: v[tf.newaxis] for n, v in params.items()}, batch)[0]

    def log_joints(self, params: Params, batch: Any) -> tf.Tensor:
        """As ``log_joint``, of many states ``[s, ...]``: ``[s]``."""
        total = tf.add_n([self.prior_of(n).log_prob(value) for n, value in params.items()])
        x, y = batch if isinstance(batch, (tuple, list)) else (batch, None)
        if y is None or self.options.ignore_targets:
            return total
        count = None if self.info is None else self.info.num_rows
        if count is not None and x.shape[0] is not None and x.shape[0] % count:
            raise DataError(
                f"A subset's probability needs all {count} items at once. Expected an engine "
                f"without mini-batches. Received: {x.shape[0]} rows."
            )
        rows = standardised(tf.reshape(tf.cast(x, tf.float64), [x.shape[0], -1]))
        masks = tf.transpose(tf.reshape(tf.cast(y, tf.float64), [x.shape[0], -1]))
        return total + log_likelihood(
            params, rows, masks, self.options.kernel, self.size, largest_of(y)
        )

    _notice = ""

    @abc.abstractmethod
    def _made(self, **form: Any) -> DPP | KDPP:
        """The process of a kernel."""

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        self.__dict__.pop("_process", None)
        super().assign(params)

    @cached_property
    def _process(self) -> DPP | KDPP:
        fitted = self.params
        for name in ("L", "K", "features"):
            if name in fitted:
                return self._made(**{name: fitted[name]})
        if "quality" in fitted:
            return self.process_at({n: fitted[n] for n in fitted if n in Learned.NAMES})
        x = standardised(fitted["items"])
        if self.options.kernel == "linear":
            return self._made(features=x)
        if len(x) > MAX_DENSE:
            raise OptionsError(
                f"An rbf kernel of {len(x):,} items would take {8e-9 * len(x) ** 2:.0f} GB. "
                "Expected kernel='linear', which needs no matrix of items by items, or fewer rows."
            )
        return self._made(L=rbf(x, length_scale=chosen_length_scale(self.options.length_scale, x)))

    def _joined(self, name: str, rows: np.ndarray) -> np.ndarray:
        before = self.params.get(name)
        if before is None:
            return rows
        if before.shape[1] != rows.shape[1]:
            raise DataError(
                f"Expected {before.shape[1]} columns of {name}, as before. "
                f"Received: {rows.shape[1]}."
            )
        return np.concatenate([before, rows])

    def _complete(self, subsets: np.ndarray) -> bool:
        """Whether the subsets are whole, of rows that may come in turn."""
        count = None if self.info is None else self.info.num_rows
        if count is not None and len(subsets) < count:
            return False
        subsets_of(subsets, len(subsets), self.size)
        return True

    def _learn(self) -> dict[str, np.ndarray]:
        found = largest_likelihood(
            standardised(self.params["items"]),
            self.params["subsets"].T,
            self.options.kernel,
            self.size,
            self._log_relevance,
        )
        self._notice = found.notice
        return {**found.params, "log_likelihood": np.asarray(found.log_likelihood)}

    @property
    def _num_columns(self) -> int:
        if "items" in self.params:
            return int(self.params["items"].shape[1])
        if self.info is None or isinstance(self.info.x_shape, dict):
            raise ModelError("Quality and diversity are learned from items x [n, d].")
        return math.prod(size or 1 for size in self.info.x_shape)

    @property
    def _log_relevance(self) -> float:
        """The centre of the prior: that of the option, or of the typical distance of rows."""
        typical = np.sqrt(2.0 * self._num_columns)  # of standardised rows
        return -float(np.log(self.options.length_scale or typical))


class DPPModel(SubsetModel):
    """``dpp``: the number of items varies."""

    options_class: ClassVar[Any] = SizedDPPOptions
    options: SizedDPPOptions

    def _made(self, **form: Any) -> DPP:
        wanted = self.options.expected_size
        if wanted is None or "quality" in self.params:
            return DPP(**form)
        return _scaled(DPP(**form), wanted)


class KDPPModel(SubsetModel):
    """``k_dpp``: each subset has k items."""

    options_class: ClassVar[Any] = KDPPOptions
    options: KDPPOptions

    def _made(self, **form: Any) -> KDPP:
        return KDPP(k=self.options.k, **form)


def _scaled(process: DPP, wanted: float) -> DPP:
    """The DPP of ``c L`` whose subsets have so many items on average.

    Raises:
        OptionsError: If the rank of the kernel is not above that.
        DataError: If the kernel is a K with an eigenvalue 1.
    """
    found = L_of(process._ensemble).spectrum
    if wanted >= found.rank:
        raise OptionsError(
            f"expected_size must be below {found.rank}, the rank of the kernel. "
            f"Received: {wanted:g}."
        )
    logs = found.log_values

    def excess(log_scale: float) -> float:
        return float((1.0 / (1.0 + np.exp(-logs - log_scale))).sum()) - wanted

    reach = 50.0 + float(np.abs(logs).max())
    log_scale = float(optimize.brentq(excess, -reach, reach, xtol=1e-12))
    if found.features is not None:
        return DPP(features=np.exp(0.5 * log_scale) * found.features)
    scaled = np.exp(logs + log_scale)
    return DPP(L=(found.vectors * scaled) @ found.vectors.T)
