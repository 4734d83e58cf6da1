"""The options of ``bayesian_gan``: nets, warm-up and sampler."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class RecipeOptions(Config):
    """How the weights are sampled: Adam first, then SGHMC."""

    warmup: int = Field(
        1000, ge=0, description="Iterations of Adam towards a mode, before all sampling."
    )
    burn_in: int = Field(200, ge=0, description="Iterations of SGHMC before the first sample.")
    samples: int = Field(
        8, ge=1, description="Samples of all weights that are kept, the last ones of the chain."
    )
    thin: int = Field(100, ge=1, description="Iterations of SGHMC for each sample.")
    batch_size: int = Field(
        64, ge=1, description="Rows of data, and of each generator's noise, in an iteration."
    )
    fake_rows: int | None = Field(
        None,
        ge=1,
        description="Rows of each generator that discriminators see in an iteration; none: "
        "batch_size. Fewer cost less, and training fails more often.",
    )
    learning_rate: float = Field(1e-2, gt=0, description="Of Adam, at first.")
    decay: float = Field(
        3.0,
        ge=0,
        description="The learning rate falls to exp(-decay) of itself over a pass over the data.",
    )
    beta_1: float = Field(0.5, ge=0, lt=1, description="Of Adam: decay of the first moment.")
    step_size: float = Field(
        1e-3, gt=0, description="Of SGHMC: eta times the number of rows the posterior stands for."
    )
    friction: float = Field(0.1, gt=0, le=1, description="Of SGHMC: a, the share of velocity lost.")
    temperature: float = Field(
        1.0, ge=0, description="Of the posterior; 0 leaves the noise out and climbs to a mode."
    )
    label_weight: float = Field(
        1.0,
        gt=0,
        description="How often each labelled row counts in the discriminators' posterior: 1 as in "
        "the paper's eq. 8; rows over labelled rows gives labels the weight of all data.",
    )
    generator_objective: Literal["log_posterior", "feature_matching"] = Field(
        "log_posterior",
        description="What generators are drawn from: the posterior of the paper's eq. 1, or that "
        "with the distance of mean features in place of log D.",
    )
    noise_sets: int = Field(
        1, ge=1, description="Sets of noise z over which a log posterior is marginalised."
    )
    marginal: Literal["algorithm", "log_mean_exp"] = Field(
        "algorithm",
        description="Over sets, and of generators over discriminators: the mean of the logs, as "
        "the paper's Algorithm 1, or the log of the mean, as its eq. 3 and 4. Discriminators see "
        "the rows of all generators as one mixture.",
    )


class BayesianGANOptions(RecipeOptions):
    """Generators, discriminators, and how their weights are sampled."""

    generators: int = Field(10, ge=1, description="Generators that are sampled side by side.")
    discriminators: int = Field(1, ge=1, description="Discriminators that are sampled beside them.")
    latent_dim: int = Field(10, ge=1, description="Size of the noise z.")
    latent_prior: Literal["uniform", "standard_normal"] = Field(
        "uniform", description="Of z: uniform from -1 to 1, or N(0, 1)."
    )
    architecture: Literal["mlp", "conv"] = Field(
        "mlp", description="Of both nets: dense layers, or convolutions for images."
    )
    hidden: tuple[int, ...] = Field((1000,), description="Units of the hidden layers of mlp.")
    filters: tuple[int, ...] = Field(
        (32, 64), description="Filters of the discriminator's convolutions of conv."
    )
    output: Literal["linear", "tanh", "sigmoid"] = Field(
        "linear", description="Of the generators; linear is in units of the data."
    )
    generator_standardization: bool = Field(
        False,
        description="Of mlp: hidden units of generators have mean 0 and deviation 1 over the rows "
        "that are made together.",
    )
    discriminator_noise: float = Field(
        0.0,
        ge=0,
        description="Of mlp: standard deviation of the noise on the discriminators' hidden units "
        "in training, and 0.6 of it on rows; none in predictions.",
    )
    weight_normalization: bool = Field(
        False, description="Of mlp: hidden weights of discriminators are directions and lengths."
    )
    semi_supervised: bool = Field(
        False, description="Discriminators learn the classes of labelled rows too."
    )
    labelled: int | None = Field(
        None,
        ge=1,
        description="Of semi_supervised: so many rows, of each class alike, keep their labels; "
        "none: all.",
    )
