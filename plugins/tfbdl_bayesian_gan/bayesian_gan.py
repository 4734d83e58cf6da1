"""BayesianGAN: samples of the weights of generators and discriminators, as a ``keras.Model``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np

from tfbdl import distributions, functional
from tfbdl.config import check_whole, make
from tfbdl.distributions import Prior
from tfbdl.errors import OptionsError
from tfbdl.inference.surrogate import read
from tfbdl.posterior import Posterior

from . import bayesian_nets, latents
from .bayesian_config import RecipeOptions
from .bayesian_training import Trained
from .chain_weights import ChainWeights, Nets
from .chains import KeptSamples
from .stacked import StackedNet


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class BayesianGAN(Trained):
    """Posteriors of generator and discriminator weights, marginal over noise, sampled by SGHMC.

    Each of J generators has the posterior of eq. (1) given the discriminators, each discriminator
    that of eq. (2) given the generators; both stand for all N rows. ``fit(x)`` carries out the
    whole recipe: Adam towards a mode, then SGHMC, of which thinned samples of all weights are kept.
    What the model generates and predicts is an average over these samples. With ``num_classes=K``
    discriminators also tell K classes, learned from the rows that have a label.

    All nets of a side run in one graph on one device, the first of a strategy.

    Args:
        data_shape: Of a row, such as ``(100,)`` or ``(28, 28, 1)``; a number n stands for ``(n,)``.
        generators: J_g.
        discriminators: J_d.
        latent_dim: Size of the noise z.
        latent_prior: Of z: a name or a LatentPrior, which is not learned here.
        generator, discriminator: Built nets to be copied, without BatchNormalization and Dropout;
            None: made from the arguments below. One with ``trainable = False`` stays as it is. The
            discriminator gives a logit, or ``num_classes + 1``, class 0 that of generated rows.
        architecture, hidden, filters, output: Of nets that are made; see BayesianGANOptions.
        generator_standardization, discriminator_noise, weight_normalization: Of nets that are made,
            of architecture mlp; see BayesianGANOptions.
        num_classes: K of semi-supervised learning; 0: none.
        labelled: So many rows, of each class alike, keep the labels that ``fit`` is given, drawn
            from the seed; None: all.
        prior, prior_options: Of the weights: a registered prior's name and options, or a Prior.
        location, scale: Of the data, by column: the nets work on ``(x - location) / scale``.
        seed: Of the weights and all noise; None: drawn from Python's ``random``.
        name: Of the model.
        **recipe: See RecipeOptions: ``warmup``, ``burn_in``, ``samples``, ``thin``, ``step_size``,
            ``friction``, ``temperature`` and others; and what ``keras.Model`` takes.

    Attributes:
        kept: The samples of all weights.

    Raises:
        OptionsError: If an argument is out of range, or nets do not fit the data.
        UnknownNameError: If no plugin provides the prior.
        ModelError: If a net is not built or keeps state.

    Example:
        ```python
        model = BayesianGAN(100, generators=10)
        model.fit(x)
        rows = model.sample(1000, seed=0)
        ```

    References:
        Saatchi & Wilson 2017, "Bayesian GAN", eq. (1) to (4), Algorithm 1.
    """

    def __init__(
        self,
        data_shape: int | Sequence[int],
        generators: int = 10,
        discriminators: int = 1,
        latent_dim: int = 10,
        *,
        latent_prior: Any = "uniform",
        generator: keras.Model | None = None,
        discriminator: keras.Model | None = None,
        architecture: str = "mlp",
        hidden: Sequence[int] = (1000,),
        filters: Sequence[int] = (32, 64),
        output: str = "linear",
        generator_standardization: bool = False,
        discriminator_noise: float = 0.0,
        weight_normalization: bool = False,
        num_classes: int = 0,
        labelled: int | None = None,
        prior: str | Prior = "normal",
        prior_options: Mapping[str, Any] | None = None,
        location: Any = None,
        scale: Any = None,
        seed: int | None = None,
        name: str | None = None,
        **recipe: Any,
    ) -> None:
        own = {key: recipe.pop(key) for key in RecipeOptions.model_fields if key in recipe}
        known = ("dtype", "trainable")
        wrong = [key for key in recipe if key not in known]
        if wrong:
            make(RecipeOptions, {wrong[0]: recipe[wrong[0]]}, "options of the recipe")
        super().__init__(seed=seed, name=name, **recipe)
        self.options = make(RecipeOptions, own, "options of the recipe")
        sizes = [data_shape] if isinstance(data_shape, int | np.integer) else data_shape
        self.data_shape = tuple(check_whole("data_shape", size) for size in sizes)
        for role, value in (("generators", generators), ("discriminators", discriminators),
                            ("latent_dim", latent_dim)):  # fmt: skip
            check_whole(role, value)
        self.num_classes = num_classes
        self.labelled = None if labelled is None else check_whole("labelled", labelled)
        if num_classes and num_classes < 2:
            raise OptionsError(f"num_classes must be 0, or at least 2. Received: {num_classes}.")
        self.latent_dim, self.latents = latent_dim, latents.make(latent_prior, latent_dim)
        if self.latents.trainable_variables:
            raise OptionsError(
                "A BayesianGAN integrates over noise of a known distribution. Expected: "
                "'uniform', 'standard_normal' or a prior without weights; GAN learns others. "
                f"Received: {latent_prior!r}."
            )
        self.prior = distributions.get(prior, prior_options)
        self.location, self.scale = _moments(location, scale, self.data_shape)
        self.architecture, self.hidden = architecture, tuple(hidden)
        self.filters, self.output_name = tuple(filters), output
        self.generator_standardization = generator_standardization
        self.discriminator_noise = discriminator_noise
        self.weight_normalization = weight_normalization
        self.given = Given(generator, discriminator)
        self.nets = self._made_nets(generator, discriminator, generators, discriminators)
        self.chain = ChainWeights(self, self.nets, int(read(self.rng_seed).numpy()))
        self.kept = KeptSamples(self, self.chain.shapes, self.options.samples)
        self.num_data_seen = self.add_state("num_data_seen", np.int64(0))
        self.built = True

    def _made_nets(self, generator: Any, discriminator: Any, made: int, judges: int) -> Nets:
        shapes: dict[str, Any] = {"hidden": self.hidden, "filters": self.filters}
        if generator is None:
            generator = bayesian_nets.generator(
                self.architecture, self.latent_dim, self.data_shape,
                output=self.output_name,
                batch_standardization=self.generator_standardization, **shapes,
            )  # fmt: skip
        if discriminator is None:
            discriminator = bayesian_nets.discriminator(
                self.architecture, self.data_shape, num_classes=self.num_classes,
                noise=self.discriminator_noise,
                weight_normalization=self.weight_normalization, **shapes,
            )  # fmt: skip
        nets = Nets(
            StackedNet(generator, made, "generator"),
            StackedNet(discriminator, judges, "discriminator"),
        )
        bayesian_nets.check("generator", generator, (self.latent_dim,), self.data_shape)
        bayesian_nets.check(
            "discriminator", discriminator, self.data_shape, (self.num_classes + 1,)
        )
        return nets

    @property
    def generators(self) -> int:
        """J_g."""
        return self.nets.generators.count

    @property
    def discriminators(self) -> int:
        """J_d."""
        return self.nets.discriminators.count

    @property
    def posterior(self) -> Posterior | None:
        """The samples that are kept, one chain; None before the first.

        A state of the chain is the weights of all nets: ``draws["generator.dense.kernel"]`` is
        ``[1, sample, J_g, ...]``.
        """
        return self.kept.posterior()

    # -- copies ----------------------------------------------------------------------------------

    def clone(self, seed: int | None = None) -> Self:
        """A copy, begun anew from ``seed``; with None of the same weights, samples and noise."""
        config = self.get_config()
        copy = self.from_config({**config, "seed": config["seed"] if seed is None else seed})
        if seed is None:
            copy.take_weights(self)
        return copy

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values.

        Raises:
            ModelError: If the prior has no registered name.
        """
        nets = {
            role: None if net is None else keras.saving.serialize_keras_object(net)
            for role, net in self.given.nets().items()
        }
        return {
            "data_shape": list(self.data_shape),
            "generators": self.generators,
            "discriminators": self.discriminators,
            "latent_dim": self.latent_dim,
            "latent_prior": keras.saving.serialize_keras_object(self.latents),
            **nets,
            "architecture": self.architecture,
            "hidden": list(self.hidden),
            "filters": list(self.filters),
            "output": self.output_name,
            "generator_standardization": self.generator_standardization,
            "discriminator_noise": self.discriminator_noise,
            "weight_normalization": self.weight_normalization,
            "num_classes": self.num_classes,
            "labelled": self.labelled,
            "prior": distributions.name_of(self.prior),
            "prior_options": self.prior.options.model_dump(),
            "location": self.location.tolist(),
            "scale": self.scale.tolist(),
            "seed": int(read(self.rng_seed).numpy()),
            "name": self.name,
            **self.options.model_dump(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The inverse of ``get_config``."""
        return cls(**functional.constructor_arguments(config, custom_objects))


class Given:
    """Nets that were given, kept where Keras does not look for weights: they are templates."""

    def __init__(self, generator: Any, discriminator: Any) -> None:
        self.generator, self.discriminator = generator, discriminator

    def nets(self) -> dict[str, Any]:
        """Role -> net, or None."""
        return {"generator": self.generator, "discriminator": self.discriminator}


def _moments(location: Any, scale: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for role, value, default in (("location", location, 0.0), ("scale", scale, 1.0)):
        array = np.asarray(default if value is None else value, "float32")
        try:
            np.broadcast_to(array, shape)
        except ValueError:
            raise OptionsError(
                f"{role} must be a number, or an array that fits rows of shape {list(shape)}. "
                f"Received: shape {list(array.shape)}."
            ) from None
        found.append(array)
    if (found[1] <= 0).any():
        raise OptionsError(f"scale must be positive. Received: {found[1].min()}.")
    return found[0], found[1]
