"""Priors over the weights of a network."""

from __future__ import annotations

from tfbdl import PriorSpec, hookimpl

from . import config


@hookimpl
def tfbdl_priors() -> tuple[PriorSpec, ...]:
    """The priors of this plugin."""
    return (
        PriorSpec(
            name="normal",
            summary="Independent normal elements",
            factory="tfbdl_priors.normal:Normal",
            config=config.NormalOptions,
        ),
        PriorSpec(
            name="laplace",
            summary="Independent Laplace elements: the mode is sparse",
            factory="tfbdl_priors.laplace:Laplace",
            config=config.LaplaceOptions,
            references=("Tibshirani 1996, section 5",),
        ),
        PriorSpec(
            name="student_t",
            summary="Independent Student t elements: heavy tails",
            factory="tfbdl_priors.student_t:StudentT",
            config=config.StudentTOptions,
        ),
        PriorSpec(
            name="scale_mixture",
            summary="Mixture of a wide and a narrow normal for each element",
            factory="tfbdl_priors.scale_mixture:ScaleMixture",
            config=config.ScaleMixtureOptions,
            references=("Blundell et al. 2015, Weight uncertainty in neural networks, eq. 7",),
        ),
        PriorSpec(
            name="horseshoe",
            summary="Horseshoe with its local scales integrated out: sparse, with heavy tails",
            factory="tfbdl_priors.horseshoe:Horseshoe",
            config=config.HorseshoeOptions,
            references=(
                "Carvalho, Polson, Scott 2010, The horseshoe estimator for sparse signals",
            ),
        ),
        PriorSpec(
            name="empirical_normal",
            summary="Normal whose scale is learned for each tensor",
            factory="tfbdl_priors.empirical_normal:EmpiricalNormal",
            config=config.EmpiricalNormalOptions,
            references=(
                "MacKay 1992, A practical Bayesian framework for backpropagation networks",
            ),
        ),
        PriorSpec(
            name="layerwise",
            summary="Normal whose scale falls with a kernel's fan-in",
            factory="tfbdl_priors.layerwise:Layerwise",
            config=config.LayerwiseOptions,
            references=("Neal 1996, Bayesian learning for neural networks, section 2.1",),
        ),
    )
