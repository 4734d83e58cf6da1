"""The recipe: Adam towards a mode, then SGHMC; many iterations in one compiled program.

An iteration moves all generators given the discriminators, then all discriminators given the new
generators (Algorithm 1). What it does is a function of (seed, iteration), so results do not depend
on where the program is cut.

References:
    Saatchi & Wilson 2017, "Bayesian GAN", Algorithm 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfbdl import random
from tfbdl.distributions import Prior
from tfbdl.inference.sgmcmc import adam, noise_like, sghmc

from . import log_posteriors, semi_supervised
from .bayesian_config import RecipeOptions
from .latents import LatentPrior
from .row_noise import drawn_from
from .stacked import StackedNet, Tensors


class Side(NamedTuple):
    """The generators, or the discriminators.

    Attributes:
        params: Site name -> ``[J, ...]``.
        velocity: Of SGHMC; Adam's first moment during warm-up.
        second: Adam's second moment.
    """

    params: Tensors
    velocity: Tensors
    second: Tensors


class State(NamedTuple):
    """All there is to know, to go on from here; ``step`` counts iterations, int64."""

    step: tf.Tensor
    generators: Side
    discriminators: Side


class Rows(NamedTuple):
    """The data of training.

    Attributes:
        x: ``[n, ...]``, in units of the nets.
        labelled: Rows whose class is known, ``[s, ...]``; None without classes.
        labels: ``[s]`` int32, from 0; None without classes.
    """

    x: tf.Tensor
    labelled: tf.Tensor | None = None
    labels: tf.Tensor | None = None


FIGURES = ("generator_loss", "discriminator_loss", "real_probability", "fake_probability")


def at_rest(side: Side) -> Side:
    """One side as SGHMC begins with it: without velocity."""
    return side._replace(velocity=tf.nest.map_structure(tf.zeros_like, side.params))


class Recipe:
    """The compiled iterations.

    Args:
        generators, discriminators: The nets of both sides.
        latents: The prior of z.
        prior: Of the weights.
        options: See RecipeOptions.
        num_data: N, the rows that the posterior stands for: a number, or a scalar tensor.
        num_labelled: N_s, those of them whose class is known.
        seed: Of all noise.
        jit_compile: Compile by XLA where both nets are vectorised.
        minibatches: Draw a minibatch for each log posterior; False: take all rows that are given.

    Attributes:
        sampling: The first iteration of SGHMC.
    """

    def __init__(
        self,
        generators: StackedNet,
        discriminators: StackedNet,
        latents: LatentPrior,
        prior: Prior,
        options: RecipeOptions,
        *,
        num_data: Any,
        num_labelled: float = 0.0,
        seed: int = 0,
        jit_compile: bool = True,
        minibatches: bool = True,
    ) -> None:
        self.generators, self.discriminators = generators, discriminators
        self.latents, self.prior, self.options = latents, prior, options
        self.num_data = num_data if tf.is_tensor(num_data) else float(num_data)
        self.num_labelled = float(num_labelled)
        self.seed, self.sampling, self.minibatches = seed, options.warmup, minibatches
        self.fake_rows = (options.fake_rows or options.batch_size) * options.noise_sets
        nets = (generators, discriminators)
        compiled = jit_compile and all(net.is_vectorized for net in nets)
        # A convolution of each net by itself is faster without XLA on a CPU.
        self._advance = tf.function(self._many, jit_compile=compiled, autograph=False)

    def advance(self, state: State, rows: Rows, steps: int) -> tuple[State, dict[str, float]]:
        """Make some iterations, all of warm-up or all of sampling: the state, means of figures."""
        samples = int(state.step) >= self.sampling
        if int(state.step) == self.sampling:  # what was Adam's first moment
            state = State(state.step, at_rest(state.generators), at_rest(state.discriminators))
        state, sums = self._advance(state, rows, tf.constant(steps, tf.int64), samples)
        return state, {n: float(v) / steps for n, v in zip(FIGURES, sums.numpy(), strict=True)}

    # -- log posteriors --------------------------------------------------------------------------

    def of_generators(self, params: Tensors, others: Tensors, rows: Rows, key: tf.Tensor) -> Any:
        """``log p(theta_g | theta_d)`` of each generator, ``[J_g]``, and its mean ``log D``.

        With matched features: of the pseudo-posterior, and less its mean distance.
        """
        with drawn_from(random.fold_in(key, "noise of generators")):
            if self.options.generator_objective == "feature_matching":
                return self._by_features(params, others, rows, key)
            return self._by_probability(params, others, key)

    def _by_features(self, params: Tensors, others: Tensors, rows: Rows, key: tf.Tensor) -> Any:
        options, count, judges = self.options, self.generators.count, self.discriminators.count
        sets, n = options.noise_sets, options.batch_size
        x = tf.gather(rows.x, self._chosen(rows.x, n, key, "matched rows"))
        reals = self.discriminators.features(others, x)  # [J_d, n, F]
        made = self._made(params, sets * n, random.fold_in(key, "generators"))
        fakes = self.discriminators.features(others, made)
        fakes = tf.reshape(fakes, (judges, count, sets, n, -1))
        fakes = tf.transpose(fakes, (0, 2, 1, 3, 4))  # [J_d, sets, J_g, n, F]
        reals = tf.reshape(reals, (judges, 1, 1, -1, reals.shape[-1]))
        match = log_posteriors.of_matched_features(reals, fakes, 0.0, self.num_data)
        each = tf.reshape(match, (-1, count)) + self.generators.log_prior(params, self.prior)
        less = tf.reduce_mean(match) / self.num_data
        return log_posteriors.marginal(each, options.marginal), (less,)

    def _by_probability(self, params: Tensors, others: Tensors, key: tf.Tensor) -> Any:
        options, count = self.options, self.generators.count
        sets, n = options.noise_sets, options.batch_size
        logits = self._fake_logits(params, others, sets * n, random.fold_in(key, "generators"))
        log_reals = self._log_real(logits)  # [J_d, J_g, sets * n]
        by_set = tf.reshape(log_reals, (self.discriminators.count, count, sets, n))
        by_set = tf.reshape(tf.transpose(by_set, (0, 2, 1, 3)), (-1, count, n))
        log_prior = self.generators.log_prior(params, self.prior)
        each = log_posteriors.of_generator(by_set, log_prior, self.num_data)
        return log_posteriors.marginal(each, options.marginal), (tf.reduce_mean(log_reals),)

    def of_discriminators(
        self, params: Tensors, others: Tensors, rows: Rows, key: tf.Tensor
    ) -> Any:
        """``log p(theta_d | X, theta_g)`` of each discriminator, ``[J_d]``, and figures.

        Generators share the place of ``theta_g`` evenly: the mean over their rows.
        """
        with drawn_from(random.fold_in(key, "noise of discriminators")):
            return self._judged(params, others, rows, key)

    def _judged(self, params: Tensors, others: Tensors, rows: Rows, key: tf.Tensor) -> Any:
        options, count = self.options, self.discriminators.count
        sets, n = options.noise_sets, self.fake_rows // options.noise_sets
        x = tf.gather(rows.x, self._chosen(rows.x, options.batch_size, key, "rows"))
        logits = self.discriminators.all(params, x)
        log_reals = self._log_real(logits)  # [J_d, n]
        fakes = self._fake_logits(
            others, params, self.fake_rows, random.fold_in(key, "discriminators")
        )
        log_fakes = self._log_fake(fakes)  # [J_d, J_g, sets * n']
        by_set = tf.reshape(log_fakes, (count, self.generators.count, sets, n))
        by_set = tf.reshape(tf.transpose(by_set, (2, 0, 1, 3)), (sets, count, -1))
        extra = self.discriminators.log_prior(params, self.prior)
        if rows.labelled is not None:
            extra += self._of_labels(params, rows, key)
        each = log_posteriors.of_discriminator(log_reals, by_set, extra, self.num_data)
        real, fake = (tf.reduce_mean(part) for part in (log_reals, log_fakes))
        probabilities = (
            tf.reduce_mean(tf.exp(log_reals)),
            tf.reduce_mean(-tf.math.expm1(log_fakes)),
        )
        return log_posteriors.marginal(each, options.marginal), (real + fake, *probabilities)

    def _fake_logits(
        self, generators: Tensors, discriminators: Tensors, n: int, key: tf.Tensor
    ) -> tf.Tensor:
        """Of n rows from each generator, by each discriminator: ``[J_d, J_g, n, ...]``."""
        logits = self.discriminators.all(discriminators, self._made(generators, n, key))
        shape = (self.discriminators.count, self.generators.count, n, logits.shape[-1])
        return tf.reshape(logits, shape)

    def _made(self, generators: Tensors, n: int, key: tf.Tensor) -> tf.Tensor:
        """Rows of all generators, n of each, one after the other: ``[J_g * n, ...]``."""
        count = self.generators.count
        z = self.latents.sample(count * n, key)
        x = self.generators.each(generators, tf.reshape(z, (count, n, self.latents.latent_dim)))
        return tf.reshape(x, (count * n, *x.shape[2:]))

    def _of_labels(self, params: Tensors, rows: Rows, key: tf.Tensor) -> tf.Tensor:
        chosen = self._chosen(rows.labelled, self.options.batch_size, key, "labelled")
        logits = self.discriminators.all(params, tf.gather(rows.labelled, chosen))
        labels = tf.gather(rows.labels, chosen)
        counted = self.options.label_weight * self.num_labelled
        return semi_supervised.of_labels(logits, labels, counted)

    def _chosen(self, rows: Any, most: int, key: tf.Tensor, salt: str) -> tf.Tensor:
        """A minibatch, drawn with replacement: every gradient is unbiased, whatever came before."""
        if not self.minibatches:
            return tf.range(tf.shape(rows)[0])
        size = int(rows.shape[0])
        if most >= size:
            return tf.range(size)
        words = tf.cast(random.bits((most,), random.fold_in(key, salt)), tf.int64) * size
        return tf.cast(tf.bitwise.right_shift(words, tf.constant(32, tf.int64)), tf.int32)

    def _log_real(self, logits: tf.Tensor) -> tf.Tensor:
        many = logits.shape[-1] > 1
        return semi_supervised.log_real(logits) if many else log_posteriors.log_real(logits[..., 0])

    def _log_fake(self, logits: tf.Tensor) -> tf.Tensor:
        many = logits.shape[-1] > 1
        return semi_supervised.log_fake(logits) if many else log_posteriors.log_fake(logits[..., 0])

    # -- iterations ------------------------------------------------------------------------------

    def _many(self, state: State, rows: Rows, steps: tf.Tensor, samples: bool) -> Any:
        last = state.step + steps

        def body(state: State, sums: tf.Tensor) -> tuple[State, tf.Tensor]:
            state, figures = self._iteration(state, rows, samples)
            return state, sums + figures

        sums = tf.zeros((len(FIGURES),))
        return tf.while_loop(lambda state, _: state.step < last, body, (state, sums))

    def _iteration(self, state: State, rows: Rows, samples: bool) -> tuple[State, tf.Tensor]:
        step = state.step
        key = random.key(self.seed, "bayesian gan", step)
        d = state.discriminators.params
        g, (log_real,) = self._moved(
            self.generators,
            state.generators,
            lambda params: self.of_generators(params, d, rows, key),
            step,
            samples,
        )
        made = g.params
        d_side, (value, real, fake) = self._moved(
            self.discriminators,
            state.discriminators,
            lambda params: self.of_discriminators(params, made, rows, key),
            step,
            samples,
        )
        return State(step + 1, g, d_side), tf.stack([-log_real, -value, real, fake])

    def _moved(
        self, nets: StackedNet, side: Side, log_posterior: Any, step: tf.Tensor, samples: bool
    ) -> tuple[Side, Any]:
        params = side.params
        if not nets.is_trainable:
            return side, log_posterior(params)[1]
        with tf.GradientTape() as tape:
            tape.watch(params)
            values, figures = log_posterior(params)
        zero = tf.UnconnectedGradients.ZERO
        gradient = tape.gradient(values, params, unconnected_gradients=zero)
        options, N = self.options, self.num_data
        if samples:
            noise = noise_like(params, random.key(self.seed, nets.role, "noise"), step)
            params, velocity = sghmc(
                params,
                side.velocity,
                gradient,
                noise,
                options.step_size / N,
                options.friction,
                temperature=options.temperature,
            )
            return Side(params, velocity, side.second), figures
        gradient = tf.nest.map_structure(lambda g: g / tf.constant(N, g.dtype), gradient)
        rate = options.learning_rate * tf.exp(
            -options.decay * tf.minimum(1.0, tf.cast(step, "float32") * options.batch_size / N)
        )
        params, first, second = adam(
            params, side.velocity, side.second, gradient, step, rate, first_decay=options.beta_1
        )
        return Side(params, first, second), figures
