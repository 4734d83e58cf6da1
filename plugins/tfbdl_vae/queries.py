"""What may be asked of a trained VAE: bounds, its posterior, draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy import stats

from tfbdl import distributions, random
from tfbdl.config import check_whole
from tfbdl.errors import OptionsError

from .bound import RunningLogMean, Terms
from .imputation import Imputation
from .objective import VariationalBound
from .traversal import Traversals

DRAWS_AT_ONCE = 64
PRIOR_DRAWS = 10_000
HELD_OUT_DRAWS = 5


class Queries(Traversals, Imputation, VariationalBound):
    """Bounds, q(z | x) and draws; NumPy out, unless a distribution is asked for.

    Wherever the KL of q(z | x) has a closed form it is taken, also of a model that was trained by
    draws (``estimator="A"``). In bounds, grey values of a Bernoulli likelihood with
    ``grey="sample"`` are drawn as 0 or 1, once for each call, from its seed. The weights of a
    Bayesian decoder are drawn anew with each draw of z; the KL of these weights belongs to all rows
    together and is in ``elbo_total`` alone.
    """

    # -- bounds ----------------------------------------------------------------------------------

    def elbo(self, x: Any, draws: int = 100, seed: int = 0) -> np.ndarray:
        """The evidence lower bound of each row, in nats: ``[n]``.

        Unweighted, whatever beta or bound were trained.

        Args:
            x: Rows.
            draws: Of z, for each row.
            seed: Of the draws.

        Example:
            ```python
            model.elbo(x_test).mean(), model.elbo_parts(x_test)["kl"].mean()
            ```
        """
        total = self._over_rows(x, draws, seed, "elbo")
        return total["reconstruction"] - total["kl"]

    def elbo_total(self, x: Any, draws: int = 100, seed: int = 0) -> float:
        """The bound of a whole data set, in nats: ``sum_n elbo(x_n) - decoder_kl()``.

        Args:
            x: All training rows.
            draws, seed: As in ``elbo``.

        References:
            Kingma & Welling 2014, appendix F.
        """
        rows = self.elbo(x, draws, seed).astype("float64")
        return float(rows.sum()) - self.decoder_kl(draws, seed)

    def elbo_parts(self, x: Any, draws: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
        """The two parts of the bound of each row, in nats: ``elbo = reconstruction - kl``.

        Returns:
            ``reconstruction``: ``E_q[log p(x | z)]`` ``[n]``; ``kl``: KL(q(z | x) || p(z)) ``[n]``,
            in closed form where there is one, whatever estimator was trained; ``kl_parts``: the
            same by latent dimension ``[n, d]``, where it parts.
        """
        return self._over_rows(x, draws, seed, "elbo")

    def log_marginal(self, x: Any, k: int = 1000, seed: int = 0) -> np.ndarray:
        """The importance-weighted bound of ``log p(x)`` with ``k`` draws, in nats: ``[n]``.

        It rises with k to ``log p(x)``; draws are taken in block by block, so that memory does not
        grow with k. With a Bayesian decoder it is ``log E[p(x | weights)]`` over its posterior.

        Args:
            x: Rows.
            k: Draws of z for each row.
            seed: Of the draws.

        References:
            Burda et al. 2016, eq. 8 and theorem 1.
        """
        return self._over_rows(x, k, seed, "marginal")["log_marginal"]

    def kl_per_dimension(self, x: Any) -> np.ndarray:
        """The mean over rows of each latent dimension's KL, in nats: ``[d]``.

        Raises:
            OptionsError: If the KL of this posterior and prior does not part into dimensions.
        """
        rows = self.rows(x)
        if self.kl_parts != self.latent_dim:
            raise OptionsError(
                "The KL parts into latent dimensions for a diagonal posterior and a normal prior "
                f"alone. Received: posterior={self.posterior!r}, prior={self.prior!r}."
            )
        parts = self.encoded("kl", rows, self._row_keys(random.key(0, "bound"), rows.shape[0]))
        mean: np.ndarray = parts.numpy().mean(axis=0)
        return mean

    # -- codes -----------------------------------------------------------------------------------

    def encode(self, x: Any) -> Any:
        """q(z | x) as a tfd distribution: batch shape ``[n]``, event shape ``[latent_dim]``."""
        return self.latent_posterior.distribution(self.encoded("parameters", self.rows(x)))

    def code_of(self, x: tf.Tensor) -> tf.Tensor:
        """See Codes."""
        return self.latent_posterior.mean(self.posterior_of(x))

    # -- draws -----------------------------------------------------------------------------------

    def sample_codes(self, n: int = 1, seed: int = 0) -> np.ndarray:
        """Draws of p(z): ``[n, latent_dim]``."""
        n = check_whole("n", n)
        key = random.key(seed, "sample", "codes")
        return self.latent_prior().sample(n, seed=tf.bitcast(key, tf.int32)).numpy()

    def sample(self, n: int = 1, seed: int = 0, mean: bool = False) -> np.ndarray:
        """Draws of the model: z from p(z), then x from p(x | z): ``[n, ...]``.

        Args:
            n: How many.
            seed: Of the draws.
            mean: Give ``E[x | z]`` in place of a draw of x, as pictures of samples do.
        """
        z = tf.constant(self.sample_codes(n, seed))
        key = random.key(seed, "sample", "rows")
        outputs = self.outputs_at(z, random.fold_in(key, "weights"))
        learned = self.likelihood_parameters()
        if mean:
            return self.likelihood.mean(outputs, learned).numpy()
        distribution = self.likelihood.distribution(outputs, learned)
        return distribution.sample(seed=tf.bitcast(key, tf.int32)).numpy()

    def prior_quantiles(self, probabilities: Any) -> np.ndarray:
        """See Traversals; of a prior other than normal, those of 10,000 draws."""
        levels = np.atleast_1d(np.asarray(probabilities, dtype="float64"))
        if not ((levels > 0) & (levels < 1)).all():
            raise OptionsError(f"Probabilities lie between 0 and 1. Received: {probabilities!r}.")
        normal = distributions.as_normal(self.latent_prior())
        if normal is None:
            return np.quantile(self.sample_codes(PRIOR_DRAWS), levels, axis=0)
        loc, scale = np.asarray(normal.loc), np.asarray(normal.scale)
        points = loc + scale * stats.norm.ppf(levels)[:, np.newaxis]
        return np.broadcast_to(points, (len(levels), self.latent_dim))

    def prior_mean(self) -> np.ndarray:
        """See Traversals; where it is not closed, that of 10,000 draws."""
        try:
            mean: np.ndarray = self.latent_prior().mean().numpy()
        except NotImplementedError:
            mean = self.sample_codes(PRIOR_DRAWS).mean(axis=0)
        return mean

    def held_out(self, x: Any) -> dict[str, float]:
        """Means over rows of the bound and its parts, in nats, with five draws of z each.

        See ``tfbdl.protocols.HeldOut``.
        """
        parts = self.elbo_parts(x, HELD_OUT_DRAWS)
        means = {name: float(parts[name].mean()) for name in ("reconstruction", "kl")}
        return {"elbo": means["reconstruction"] - means["kl"], **means}

    # -- how -------------------------------------------------------------------------------------

    def _over_rows(self, x: Any, draws: int, seed: int, what: str) -> dict[str, np.ndarray]:
        """A bound of each row, in blocks of rows and draws that fit into memory."""
        draws = check_whole("The number of draws", draws)
        x = self.rows(x)
        size = min(x.shape[0], max(1, self.rows_at_once() // min(int(draws), DRAWS_AT_ONCE)))
        at_once = max(1, min(int(draws), self.rows_at_once() // size))
        at_once = 1 if self.is_bayesian else at_once  # each draw of z has weights of its own
        key = random.key(seed, "bound")
        keys, program = self._row_keys(key, x.shape[0]), self.query(what, x)
        counts = tf.constant(int(draws)), tf.constant(at_once)
        starts = range(0, x.shape[0], size)
        blocks = [program(x[i : i + size], key, keys[i : i + size], *counts) for i in starts]
        names = [name for name, value in blocks[0].items() if value is not None]
        return {n: np.concatenate([block[n].numpy() for block in blocks]) for n in names}

    def _row_keys(self, key: tf.Tensor, rows: int) -> tf.Tensor:
        """A key of each row's own noise in a bound: ``[rows, 2]``."""
        return random.fold_in(random.fold_in(key, "rows"), tf.range(rows))

    def program(
        self, name: str, row: tf.TensorSpec
    ) -> tuple[Callable[..., Any], Sequence[tf.TensorSpec]]:
        """See Codes."""
        key, keys = tf.TensorSpec([2], tf.uint32), tf.TensorSpec([None, 2], tf.uint32)
        count = tf.TensorSpec([], tf.int32)
        if name == "parameters":
            return (lambda x: self.posterior_of(self.unchanged(x))), [row]
        if name == "kl":
            return self._kl_of, [row, keys]
        if name == "elbo":
            return self._elbo_of, [row, key, keys, count, count]
        if name == "marginal":
            return self._marginal_of, [row, key, keys, count, count]
        return super().program(name, row)

    def _kl_of(self, x: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """The KL of each latent dimension, in closed form: ``[n, d]``."""
        _, parameters = self._seen(x, keys)
        return self.latent_posterior.kl(parameters, self.latent_prior())

    def _elbo_of(
        self, x: tf.Tensor, key: tf.Tensor, keys: tf.Tensor, draws: tf.Tensor, at_once: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Means over draws of the bound's two parts; see ``_blocks``."""
        zeros = tf.zeros([tf.shape(x)[0]], keras.config.floatx())

        def take_in(
            sums: tuple[tf.Tensor, tf.Tensor], terms: Terms, used: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            kept = tf.cast(used, terms.log_lik.dtype)[:, tf.newaxis]
            assert terms.log_ratio is not None
            return (
                sums[0] + tf.reduce_sum(kept * terms.log_lik, axis=0),
                sums[1] - tf.reduce_sum(kept * terms.log_ratio, axis=0),
            )

        seen, parameters = self._seen(x, keys)
        start = (zeros, zeros)
        sums = self._blocks(seen, parameters, key, keys, draws, at_once, start, take_in)
        reconstruction, kl = (total / tf.cast(draws, zeros.dtype) for total in sums)
        parts = self.latent_posterior.kl(parameters, self.latent_prior())
        if parts is not None:
            kl = tf.reduce_sum(parts, axis=-1)
        return {"reconstruction": reconstruction, "kl": kl, "kl_parts": parts}

    def _marginal_of(
        self, x: tf.Tensor, key: tf.Tensor, keys: tf.Tensor, draws: tf.Tensor, at_once: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The importance-weighted bound; see ``_blocks``."""

        def take_in(mean: RunningLogMean, terms: Terms, used: tf.Tensor) -> RunningLogMean:
            assert terms.log_ratio is not None
            return mean.update(terms.log_lik + terms.log_ratio, used)

        seen, parameters = self._seen(x, keys)
        start = RunningLogMean.zeros(tf.shape(x)[0])
        mean = self._blocks(seen, parameters, key, keys, draws, at_once, start, take_in)
        return {"log_marginal": mean.value()}

    def _seen(self, x: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, Any]:
        seen = self.observed(x, keys)
        return seen, self.posterior_of(seen)

    def _blocks(
        self,
        x: tf.Tensor,
        parameters: Any,
        key: tf.Tensor,
        keys: tf.Tensor,
        draws: tf.Tensor,
        at_once: tf.Tensor,
        start: Any,
        take_in: Callable[[Any, Terms, tf.Tensor], Any],
    ) -> Any:
        """Take in the terms of all draws, ``at_once`` of them at a time.

        The noise of a row and draw is a function of both, whatever the blocks are.

        Args:
            x: Rows as the model sees them.
            parameters: Of q(z | x).
            key: Of a Bayesian decoder's weights.
            keys: One for each row, ``[n, 2]``.
            draws: How many, a scalar.
            at_once: Draws of a block.
            start: The state before the first block.
            take_in: From a state, the terms of a block, and which of its draws count ``[S]``.
        """
        prior = self.latent_prior()

        def body(first: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
            index = first + tf.range(at_once)
            own = random.fold_in(keys[tf.newaxis], index[:, tf.newaxis])
            z, log_q = self.latent_posterior.draw(parameters, own)
            flat = tf.reshape(z, [-1, self.latent_dim])
            outputs, _ = self.outputs(flat, random.fold_in(key, first))
            terms = self.terms(self.log_lik(outputs, x), parameters, z, log_q, True, prior)
            return first + at_once, take_in(state, terms, index < draws)

        _, state = tf.while_loop(
            lambda first, _: first < draws, body, (tf.constant(0), start), parallel_iterations=1
        )
        return state
