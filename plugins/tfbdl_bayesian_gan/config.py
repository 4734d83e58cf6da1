"""The options of ``gan`` and ``info_gan``: nets, noise and objective."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field

ObjectiveName = Literal[
    "minimax", "non_saturating", "least_squares", "wasserstein", "wasserstein_gp"
]


class GANOptions(Config):
    """Generator, discriminator and objective."""

    latent_dim: int = Field(100, ge=1, description="Size of the noise z.")
    latent_prior: str = Field(
        "standard_normal",
        description="Of z: uniform from -1 to 1, or a prior by name; what a gaussian_mixture or "
        "stick_breaking has is learned.",
    )
    objective: ObjectiveName = Field(
        "non_saturating",
        description="What the nets play for: minimax and non_saturating (cross entropy), "
        "least_squares, wasserstein (clipped weights), wasserstein_gp (gradient penalty).",
    )
    architecture: Literal["auto", "mlp", "conv"] = Field(
        "auto", description="Of both nets; auto: mlp for rows, conv (DCGAN) for images."
    )
    hidden: tuple[int, ...] = Field(
        (256, 256), description="Units of the generator's hidden layers of mlp; the "
        "discriminator's, reversed."
    )  # fmt: skip
    filters: tuple[int, ...] = Field(
        (32, 64),
        description="Filters of the discriminator's convolutions of conv, each of which halves "
        "the image; the generator's, reversed.",
    )
    batch_normalization: bool = Field(
        True,
        description="In the hidden layers of conv, as in DCGAN; the critic of a Wasserstein "
        "objective has none.",
    )
    output: Literal["auto", "linear", "tanh", "sigmoid"] = Field(
        "auto",
        description="Of the generator; auto: sigmoid for conv, whose images are from 0 to 1, "
        "linear in the units of the data for mlp.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="The discriminator's target of data is 1 minus this; of minimax and "
        "non_saturating.",
    )
    discriminator_steps: int | None = Field(
        None,
        ge=1,
        description="Steps of the discriminator for one of the generator, among which the rows "
        "of a batch are divided; none: 5 of the Wasserstein objectives, else 1.",
    )
    clip: float = Field(0.01, gt=0, description="Largest size of a critic's weight (wasserstein).")
    penalty: float = Field(
        10.0, ge=0, description="Weight of the gradient penalty (wasserstein_gp)."
    )
    generator_learning_rate: float | None = Field(
        None, gt=0, description="None: that of the engine."
    )
    discriminator_learning_rate: float | None = Field(
        None, gt=0, description="None: that of the engine."
    )


class InfoGANOptions(GANOptions):
    """The same, with codes."""

    latent_dim: int = Field(62, ge=1, description="Size of the noise z beside the codes.")
    latent_prior: str = Field(
        "uniform", description="Of z: uniform from -1 to 1, or a prior by name."
    )
    categorical: tuple[int, ...] = Field(
        (10,), description="Classes of each categorical code, each uniform."
    )
    continuous: int = Field(2, ge=0, description="Codes that are uniform from -1 to 1.")
    code_scale: float | None = Field(
        1.0,
        gt=0,
        description="Standard deviation of q(c | x) of continuous codes; none: it is learned.",
    )
    code_weight: float = Field(
        1.0, ge=0, description="Weight lambda of the bound on the categorical codes' information."
    )
    continuous_weight: float = Field(0.1, ge=0, description="The same of continuous codes.")
