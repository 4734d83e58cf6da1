"""From options and a description of the data to a BayesianGAN."""

from __future__ import annotations

import numpy as np

from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, OptionsError

from .bayesian_config import BayesianGANOptions, RecipeOptions
from .bayesian_gan import BayesianGAN


def build_bayesian_gan(
    options: BayesianGANOptions, info: DataInfo | None, prior: Prior, seed: int
) -> BayesianGAN:
    """A Bayesian GAN for data that ``info`` describes.

    Tables are taken to mean 0 and standard deviation 1 by column where the output is linear.

    Args:
        options: See BayesianGANOptions.
        info: Shape, moments and classes of the training data.
        prior: Of the weights.
        seed: Of the weights and the noise.

    Raises:
        DataError: If the rows are no arrays of known shape, or classes are asked for where the data
            have none.
    """
    shape = None if info is None else info.x_shape
    if info is None or shape is None or not isinstance(shape, tuple) or None in shape:
        raise DataError(
            "A Bayesian GAN makes rows of one shape. Expected data of a known shape. "
            f"Received: {shape}."
        )
    classes = 0
    if options.semi_supervised:
        classes = info.num_classes or 0
        if not classes:
            raise DataError("semi_supervised needs rows with class labels. Received: none.")
    elif options.labelled is not None:
        raise OptionsError(
            "labelled says how many rows keep their labels in semi-supervised learning. Expected: "
            f"semi_supervised=True. Received: labelled={options.labelled}."
        )
    own = {name: getattr(options, name) for name in RecipeOptions.model_fields}
    location, spread = None, None
    if len(shape) == 1 and options.output == "linear" and info.x_mean is not None:
        location = np.asarray(info.x_mean, "float32")
        spread = np.asarray(info.x_std, "float32")
        spread = np.where(spread > 0, spread, 1.0)
    return BayesianGAN(
        tuple(length or 1 for length in shape),
        options.generators,
        options.discriminators,
        options.latent_dim,
        latent_prior=options.latent_prior,
        architecture=options.architecture,
        hidden=options.hidden,
        filters=options.filters,
        output=options.output,
        generator_standardization=options.generator_standardization,
        discriminator_noise=options.discriminator_noise,
        weight_normalization=options.weight_normalization,
        num_classes=classes,
        labelled=options.labelled,
        prior=prior,
        location=location,
        scale=spread,
        seed=seed,
        name="bayesian_gan",
        **own,
    )
