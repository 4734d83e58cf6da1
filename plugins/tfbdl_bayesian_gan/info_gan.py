"""InfoGAN: a GAN whose codes can be read off what it generates (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_whole
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.trainable import row_mean

from . import codes as codes_of
from .adversarial import Noise, Verdict
from .codes import Categorical, Code
from .gan import GAN


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class InfoGAN(GAN):
    """``min_{G, Q} max_D V(D, G) - lambda L_I(G, Q)``: codes c that a net Q finds again in G(z, c).

    ``L_I = E log q(c | x) + H(c)`` is a lower bound of the mutual information of codes and
    generated rows. Q shares the layers of the discriminator but the last ones, and is trained in
    the steps of both nets. ``fit`` reports ``information``: L_I of all categorical codes in nats,
    never more than their entropy; ``continuous_information``: of the others.

    Args:
        generator: A Keras net from ``[n, latent_dim + sizes of the codes]`` to rows: z, then the
            codes in their order, classes one-hot.
        discriminator: A Keras net from rows to two outputs: logits ``[n, 1]``, and the parameters
            of q(c | x) ``[n, units of the codes]``.
        latent_dim: Size of z.
        objective: As of GAN.
        codes: Categorical(classes) and Uniform(low, high).
        code_weight: lambda of categorical codes.
        continuous_weight: lambda of the others, of which one nat is worth less (Chen et al. 2016,
            section 7.1).
        **options: As of GAN.

    Raises:
        UnknownNameError, OptionsError, ModelError: As of GAN; also if there are no codes.

    References:
        Chen et al. 2016, "InfoGAN: interpretable representation learning by information maximizing
        generative adversarial nets", eqs. 5 and 6.
    """

    arguments: ClassVar[tuple[str, ...]] = (*GAN.arguments, "code_weight", "continuous_weight")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        latent_dim: int,
        objective: str = "non_saturating",
        *,
        codes: Sequence[Code | Mapping[str, Any]] = (Categorical(10),),
        code_weight: float = 1.0,
        continuous_weight: float = 0.1,
        latent_prior: Any = "uniform",
        **options: Any,
    ) -> None:
        if not codes:
            raise OptionsError("An InfoGAN needs at least one code. Received: codes=().")
        self._codes = tuple(codes_of.from_config(code) for code in codes)
        self._weights = float(code_weight), float(continuous_weight)
        if min(self._weights) < 0:
            raise OptionsError(
                "code_weight and continuous_weight must be at least 0. Received: "
                f"{code_weight} and {continuous_weight}."
            )
        super().__init__(
            generator, discriminator, latent_dim, objective, latent_prior=latent_prior, **options
        )

    @property
    def codes(self) -> tuple[Code, ...]:
        """In the order in which the generator takes them."""
        return self._codes

    @property
    def code_weight(self) -> float:
        """Lambda, of categorical codes."""
        return self._weights[0]

    @property
    def continuous_weight(self) -> float:
        """Lambda, of the other codes."""
        return self._weights[1]

    @property
    def entropy(self) -> float:
        """H(c) of the categorical codes, in nats: what ``information`` cannot pass."""
        return sum(code.entropy for code in self.codes if isinstance(code, Categorical))

    # -- what Adversarial asks for ---------------------------------------------------------------

    def figure_names(self) -> tuple[str, ...]:
        """See GAN."""
        kinds = {isinstance(code, Categorical) for code in self.codes}
        own = [name for name, kind in _FIGURES.items() if kind in kinds]
        return (*super().figure_names(), *own)

    def noise(self, n: Any, key: tf.Tensor) -> Noise:
        """See Adversarial."""
        drawn = super().noise(n, key)
        c = codes_of.draw(self.codes, n, random.fold_in(key, "codes"))
        return Noise(tf.concat([drawn.inputs, c], axis=-1), c, drawn.weights)

    def judge(self, x: tf.Tensor, training: bool | None = None) -> Verdict:
        """See Adversarial."""
        outputs, parameters = self.discriminator(x, training=training)
        floats = keras.config.floatx()
        return Verdict(tf.cast(tf.reshape(outputs, [-1]), floats), tf.cast(parameters, floats))

    def code_cost(self, verdict: Verdict, noise: Noise) -> tf.Tensor:
        """``- lambda log q(c | x)`` of generated rows, ``[n]`` (eq. 6; H(c) is constant)."""
        bounds = self.bounds(verdict, noise)
        cost = tf.zeros_like(verdict.outputs)
        for name, kind in _FIGURES.items():
            if name in self.figures:
                weight = self.code_weight if kind else self.continuous_weight
                cost -= weight * bounds[name]
        return cost

    def bounds(self, verdict: Verdict, noise: Noise) -> dict[str, tf.Tensor]:
        """The terms ``log q(c | x) + H(c)`` of L_I, ``[n]`` each, by kind of code (eq. 5)."""
        found = codes_of.log_q(self.codes, verdict.codes, noise.codes)
        terms = {name: tf.zeros_like(verdict.outputs) for name in _FIGURES}
        for code, log_q in zip(self.codes, found, strict=True):
            name = next(n for n, kind in _FIGURES.items() if kind == isinstance(code, Categorical))
            terms[name] += log_q + code.entropy
        return terms

    def generator_loss(self, fake: Verdict, noise: Noise, n: tf.Tensor) -> tf.Tensor:
        """See Adversarial; the figures of the codes are updated too."""
        for name, terms in self.bounds(fake, noise).items():
            if name in self.figures:
                self.update(name, row_mean(terms, n), n)
        return super().generator_loss(fake, noise, n)

    # -- queries ---------------------------------------------------------------------------------

    def sample(self, n: int, seed: int = 0, codes: Any = None) -> np.ndarray:
        """Generated rows ``[n, ...]``; the same seed gives the same rows.

        Args:
            n: How many, at least 1.
            seed: Of the noise.
            codes: To be given to the generator, ``[n, sizes]`` or ``[sizes]``, classes one-hot;
                None: drawn.

        Raises:
            DataError: If the codes are of another shape.
        """
        if codes is None:
            return super().sample(n, seed)
        size = codes_of.sizes(self.codes)
        given = np.asarray(codes, dtype="float32")
        if given.shape not in ((size,), (n, size)):
            raise DataError(
                f"Expected codes of shape [{size}] or [{n}, {size}]. "
                f"Received: shape {list(given.shape)}."
            )
        drawn = self.noise(check_whole("n", n), random.key(seed, "sample")).inputs
        c = np.broadcast_to(given, (n, size))
        return self.generate(tf.concat([drawn[:, : self.latent_dim], c], axis=-1))

    def read_codes(self, x: Any) -> list[np.ndarray]:
        """The mean of q(c | x) of each code: probabilities ``[n, K]``, or numbers ``[n, 1]``.

        Raises:
            DataError: If the rows do not suit the model.
        """
        rows = self.checked(x)
        parameters = self.in_blocks("codes", lambda part: self.judge(part).codes, rows)
        return [part.numpy() for part in codes_of.guesses(self.codes, parameters)]

    def information(self, n: int = 10_000, seed: int = 0) -> dict[str, float]:
        """L_I by ``n`` draws in nats, by the name of the figure (eq. 5).

        Args:
            n: How many, at least 1.
            seed: Of the noise.
        """
        noise = self.noise(check_whole("n", n), random.key(seed, "information"))
        rows = tf.convert_to_tensor(self.generate(noise.inputs))
        parameters = self.in_blocks("codes", lambda part: self.judge(part).codes, rows)
        verdict = Verdict(tf.zeros([n]), tf.convert_to_tensor(parameters))
        terms = self.bounds(verdict, noise)
        return {
            name: float(tf.reduce_mean(terms[name])) for name in _FIGURES if name in self.figures
        }

    # -- copies and files ------------------------------------------------------------------------

    def own_config(self) -> dict[str, Any]:
        """See GAN."""
        return {**super().own_config(), "codes": [codes_of.to_config(code) for code in self.codes]}

    def _check_outputs(self, shapes: list[tuple[int, ...]]) -> None:
        units = codes_of.units(self.codes)
        if len(shapes) != 2 or shapes[0] not in ((2,), (2, 1)) or shapes[1] != (2, units):
            raise ModelError(
                f"The discriminator must give two outputs: logits [n, 1], and [n, {units}] "
                "parameters of q(c | x). Received: "
                f"{', '.join(str(['n', *shape[1:]]) for shape in shapes)}."
            )


_FIGURES = {"information": True, "continuous_information": False}
"""Name of a figure -> whether it is of the categorical codes."""
