"""GAN: the generative adversarial network as a ``keras.Model``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf

from tfbdl import functional
from tfbdl.config import check_whole
from tfbdl.data import Dataset
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.inference.rows import CountedRows, set_num_data

from . import latents, objectives
from .adversarial import Adversarial, Noise, Verdict
from .latents import LatentPrior
from .optimizers import TwoPlayers, copied
from .queries import Queries
from .rows import check_range, check_shape

ADAM = {"learning_rate": 2e-4, "beta_1": 0.5}  # Radford, Metz & Chintala 2016, section 4
DEFAULTS: dict[str, tuple[str, dict[str, float]]] = {
    "wasserstein": ("rmsprop", {"learning_rate": 5e-5}),  # Arjovsky et al. 2017, algorithm 1
    "wasserstein_gp": (  # Gulrajani et al. 2017, algorithm 1, with beta_2 of their code
        "adam",
        {"learning_rate": 1e-4, "beta_1": 0.0, "beta_2": 0.9},
    ),
}


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class GAN(Queries, CountedRows, Adversarial):
    """A generator of rows and a discriminator of generated from true ones, trained by turns.

    ``min_G max_D E log D(x) + E log(1 - D(G(z)))``, or another objective. Each net has its own
    optimizer. ``fit`` reports ``discriminator_loss``, ``generator_loss`` and ``value``: what the
    discriminator maximises, ``V(D, G)`` in nats or a critic's estimate of a distance; ``loss`` is
    the sum of both losses and means little. A net whose ``trainable`` is False stays as it is.

    Args:
        generator: A Keras net from ``z [n, latent_dim]`` to rows.
        discriminator: A Keras net from rows to logits ``[n, 1]``, or ``[n]``.
        latent_dim: Size of z.
        objective: ``minimax``, ``non_saturating``, ``least_squares``, ``wasserstein`` (weights of
            the critic clipped) or ``wasserstein_gp`` (gradient penalty).
        latent_prior: p(z): ``uniform`` from -1 to 1, a prior by name, which is learned with the
            generator where it has parameters, or a LatentPrior.
        latent_options: Of a prior given by name.
        discriminator_steps: For one step of the generator; the rows of a batch are divided among
            them. None: 5 of the Wasserstein objectives, else 1.
        label_smoothing: s; the discriminator's target of data is ``1 - s``.
        clip: Largest size of a critic's weight (``wasserstein``).
        penalty: Weight of the gradient penalty (``wasserstein_gp``).
        learning_rates: Of generator and discriminator; None: that of the optimizer.
        num_data: Training rows, which weigh what a learned prior's parameters have as a prior; by
            default counted by ``fit``.
        seed: Of the noise, and of a learned prior's start unless ``latent_options`` say another;
            None: drawn from Python's ``random``.
        name: Of the model.

    Raises:
        UnknownNameError: If there is no such objective.
        OptionsError: If an option is not admitted.
        ModelError: If generator and discriminator do not fit each other or ``latent_dim``.

    References:
        Goodfellow et al. 2014, "Generative adversarial nets", eq. 1; the README names the others.

    Example:
        ```python
        layers = keras.layers
        generator = keras.Sequential([keras.Input((10,)), layers.Dense(128, "relu"),
                                      layers.Dense(2)])
        discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(128, "relu"),
                                          layers.Dense(1)])
        model = GAN(generator, discriminator, latent_dim=10)
        model.compile()
        model.fit(x, epochs=10)
        model.sample(16, seed=0)
        ```
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "latent_dim",
        "latent_options",
        "discriminator_steps",
        "label_smoothing",
        "clip",
        "penalty",
        "learning_rates",
        "name",
    )

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        latent_dim: int,
        objective: str = "non_saturating",
        *,
        latent_prior: str | LatentPrior = "standard_normal",
        latent_options: Mapping[str, Any] | None = None,
        discriminator_steps: int | None = None,
        label_smoothing: float = 0.0,
        clip: float = 0.01,
        penalty: float = 10.0,
        learning_rates: tuple[float | None, float | None] = (None, None),
        num_data: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, name=name, **kwargs)
        self.game, self.loss_name = objectives.get(objective), objective
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim = check_whole("latent_dim", latent_dim)
        self.latent_options = dict(latent_options or {})
        given = {"seed": int(self.rng_seed.numpy()), **self.latent_options}
        self.latent_prior = latents.make(latent_prior, self.latent_dim, **given)
        steps = (
            self.game.discriminator_steps if discriminator_steps is None else discriminator_steps
        )
        self.discriminator_steps = check_whole("discriminator_steps", steps)
        self.label_smoothing, self.clip = float(label_smoothing), float(clip)
        self.penalty, self.learning_rates = float(penalty), tuple(learning_rates)
        self._check_options()
        self.given_num_data = None if num_data is None else check_whole("num_data", num_data)
        self.num_data_seen = self.add_state("num_data_seen", np.int64(num_data or 0))
        self.figures = {n: keras.metrics.Mean(name=n) for n in self.figure_names()}
        self.row_shape = self._check_nets()
        self.built = True

    # -- Keras' verbs ----------------------------------------------------------------------------

    def compile(  # type: ignore[override]  # two optimizers in place of one
        self,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        *,
        optimizer: Any = None,
        loss: Any = None,
        **kwargs: Any,
    ) -> None:
        """Set the optimizer of each net.

        Args:
            generator_optimizer: None: that of the objective's paper.
            discriminator_optimizer: The same.
            optimizer: For a net that is given none of its own, as a copy.
            loss: None; the objective says it.
            **kwargs: Of ``keras.Model.compile``.

        Raises:
            OptionsError: If a loss or metrics are given.
        """
        first, second = (
            functional.scaled_optimizer(
                self, self._default(optimizer, rate) if own is None else own
            )
            for own, rate in zip(
                (generator_optimizer, discriminator_optimizer), self.learning_rates, strict=True
            )
        )
        if first is second:
            second = copied(first)
        pair = TwoPlayers(first, second, self.generator_variables, self.discriminator_variables)
        super().compile(optimizer=pair, loss=loss, **kwargs)
        self.optimizer = pair  # each player scales its own loss
        self.optimizer.build()

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of ``compile`` as plain values."""
        serialized = keras.saving.serialize_keras_object
        return {
            "generator_optimizer": serialized(self.optimizer.generator),
            "discriminator_optimizer": serialized(self.optimizer.discriminator),
            "steps_per_execution": self.given_steps_per_execution,
            "jit_compile": bool(self.jit_compile),
        }

    @property
    def default_learning_rate(self) -> float:
        """Of the objective's paper."""
        return DEFAULTS.get(self.loss_name, ("adam", ADAM))[1]["learning_rate"]

    @property
    def optimizer_options(self) -> dict[str, dict[str, float]]:
        """Settings of Keras' optimizers beside the learning rate, for an engine that makes one."""
        kind, settings = DEFAULTS.get(self.loss_name, ("adam", ADAM))
        own = {name: value for name, value in settings.items() if name != "learning_rate"}
        return {kind: own} if kind == "adam" else {"adam": {"beta_1": 0.0}}

    # -- what Adversarial asks for ---------------------------------------------------------------

    def figure_names(self) -> tuple[str, ...]:
        """Names of the figures in a history."""
        own = ("penalty",) if self.loss_name == "wasserstein_gp" else ()
        return ("discriminator_loss", "generator_loss", "value", *own)

    def noise(self, n: Any, key: tf.Tensor) -> Noise:
        """See Adversarial."""
        drawn = self.latent_prior.draw(n, key)
        return Noise(drawn.z, None, drawn.weights)

    def judge(self, x: tf.Tensor, training: bool | None = None) -> Verdict:
        """See Adversarial."""
        outputs = self.discriminator(x, training=training)
        return Verdict(tf.cast(tf.reshape(outputs, [-1]), keras.config.floatx()), None)

    def check_rows(self, x: Any, what: str = "x") -> None:
        """Refuse rows that the generator cannot give.

        Raises:
            DataError: With what was expected.
        """
        check_shape(x, self.row_shape, what)
        check_range(x, self.generator, what)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; the rows are not checked.

        Raises:
            DataError: If a prior's prior is weighted by a number of rows that nobody knows.
        """
        self._check_count()
        return super().train_on_batch(x, *args, **kwargs)

    def _check_count(self) -> None:
        if self.latent_prior.has_hyperprior and self.num_data is None:
            raise DataError(
                "The number of training rows is not known, and the prior of what is learned of "
                f"p(z) is weighted by it. Give {type(self).__name__}(..., num_data=N), or fit "
                "rows that can be counted."
            )

    def on_fit(self, data: Dataset) -> None:
        """Count the rows; of a stream the first batch stands for all.

        Raises:
            DataError: As ``train_on_batch``; and if a stream's rows do not suit.
        """
        set_num_data(self, data.num_rows)
        self._check_count()
        if data.stream is not None:
            first = next(iter(data.stream))
            self.check_rows((first[0] if isinstance(first, tuple) else first).numpy())

    # -- copies and files ------------------------------------------------------------------------

    def clone(self, seed: int | None = None) -> Self:
        """A copy, initialised anew from ``seed``; with None of the same weights and noise."""
        after = None if seed is None else seed + 1
        nets = {
            "generator": functional.clone(self.generator, seed),
            "discriminator": functional.clone(self.discriminator, after),
        }
        start = int(self.rng_seed.numpy()) if seed is None else seed
        copy = self.from_config({**self.own_config(), **nets, "seed": start})
        if seed is None:
            copy.take_weights(self)
        return copy

    def own_config(self) -> dict[str, Any]:
        """The constructor's arguments but for nets and seed, as plain values."""
        own = {name: getattr(self, name) for name in self.arguments}
        prior = self.latent_prior.get_config()
        own["latent_prior"] = prior.pop("prior")
        prior.pop("latent_dim")
        if "seed" not in self.latent_options:
            prior.pop("seed", None)  # the model's
        given = {"num_data": self.given_num_data, "objective": self.loss_name}
        return {**own, **given, "latent_options": prior}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values."""
        nets = {"generator": self.generator, "discriminator": self.discriminator}
        stored = {role: keras.saving.serialize_keras_object(net) for role, net in nets.items()}
        return {**self.own_config(), **stored, "seed": int(self.rng_seed.numpy())}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The inverse of ``get_config``."""
        return cls(**functional.constructor_arguments(config, custom_objects))

    # -- checks ----------------------------------------------------------------------------------

    def _default(self, optimizer: Any, rate: float | None) -> keras.optimizers.Optimizer:
        """A copy of what is given for both, or the optimizer of the objective's paper."""
        if optimizer is not None:
            return copied(keras.optimizers.get(optimizer), rate)
        kind, settings = DEFAULTS.get(self.loss_name, ("adam", ADAM))
        return copied(keras.optimizers.get({"class_name": kind, "config": dict(settings)}), rate)

    def _check_options(self) -> None:
        if not 0.0 <= self.label_smoothing < 1.0:
            raise OptionsError(
                f"label_smoothing must be at least 0 and below 1. Received: {self.label_smoothing}."
            )
        if self.label_smoothing and not self.game.probabilistic:
            raise OptionsError(
                "label_smoothing is of cross entropies. Expected: objective='minimax' or "
                f"'non_saturating'. Received: objective={self.loss_name!r}."
            )
        if not self.clip > 0 or not self.penalty >= 0:
            raise OptionsError(
                f"clip must be above 0, and penalty at least 0. Received: clip={self.clip}, "
                f"penalty={self.penalty}."
            )

    def _check_nets(self) -> tuple[int, ...]:
        """Run both nets once, which builds them; gives the shape of a row."""
        size = int(self.noise(1, tf.zeros([2], tf.uint32)).inputs.shape[-1])
        taken = getattr(self.generator, "input_shape", None) if self.generator.built else None
        if isinstance(taken, tuple) and taken[-1] not in (None, size):
            raise ModelError(
                f"The generator must take z [n, {size}]. Received: a generator of inputs "
                f"[n, {', '.join(map(str, taken[1:]))}]."
            )
        fake = self.generator(tf.zeros([2, size]))
        try:
            outputs = tf.nest.flatten(self.discriminator(fake))
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise ModelError(
                "The discriminator must take rows of the shape that the generator gives, "
                f"[n, {', '.join(map(str, fake.shape[1:]))}]. Received: {error}"
            ) from error
        shapes = [tuple(part.shape) for part in outputs]
        self._check_outputs(shapes)
        return tuple(fake.shape[1:])

    def _check_outputs(self, shapes: list[tuple[int, ...]]) -> None:
        if len(shapes) != 1 or shapes[0] not in ((2,), (2, 1)):
            raise ModelError(
                "The discriminator must give one logit for each row, [n, 1]. Received: outputs "
                f"of shape {', '.join(str(['n', *shape[1:]]) for shape in shapes)}."
            )
