"""Keras layers under the names of TFP's: weights with a posterior, and heads.

A head ends a net in the parameters of a distribution.
"""

from .. import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .concrete_dropout import ConcreteDropout
from .convolution_flipout import (
    Convolution1DFlipout,
    Convolution2DFlipout,
    Convolution3DFlipout,
)
from .convolution_local_reparameterization import (
    Convolution1DLocalReparameterization,
    Convolution2DLocalReparameterization,
    Convolution3DLocalReparameterization,
)
from .convolution_reparameterization import (
    Convolution1DReparameterization,
    Convolution2DReparameterization,
    Convolution3DReparameterization,
)
from .convolution_transpose_flipout import (
    Convolution1DTransposeFlipout,
    Convolution2DTransposeFlipout,
    Convolution3DTransposeFlipout,
)
from .convolution_transpose_reparameterization import (
    Convolution1DTransposeReparameterization,
    Convolution2DTransposeReparameterization,
    Convolution3DTransposeReparameterization,
)
from .dense_flipout import DenseFlipout
from .dense_local_reparameterization import DenseLocalReparameterization
from .dense_reparameterization import DenseReparameterization
from .dense_variational import DenseVariational
from .divergences import KLDivergence
from .embedding_reparameterization import EmbeddingReparameterization
from .gru_reparameterization import GRUReparameterization
from .heads.append_variable import AppendVariable
from .heads.categorical_mixture_of_one_hot_categorical import (
    CategoricalMixtureOfOneHotCategorical,
)
from .heads.convert_to_tensor import ConvertToTensor
from .heads.distribution_lambda import DistributionLambda
from .heads.head import Head
from .heads.head_loss import HeadLoss
from .heads.independent_bernoulli import IndependentBernoulli
from .heads.independent_logistic import IndependentLogistic
from .heads.independent_normal import IndependentNormal
from .heads.independent_poisson import IndependentPoisson
from .heads.kernel_provider import KernelProvider
from .heads.kl_divergence_regularizer import KLDivergenceRegularizer
from .heads.mixture_logistic import MixtureLogistic
from .heads.mixture_normal import MixtureNormal
from .heads.mixture_same_family import MixtureSameFamily
from .heads.multivariate_normal_tril import MultivariateNormalTriL
from .heads.one_hot_categorical import OneHotCategorical
from .heads.student_t import StudentT
from .heads.variational_gaussian_process import VariationalGaussianProcess
from .log_uniform import log_uniform_fn, sparsity
from .lstm_reparameterization import LSTMReparameterization, UnitForgetBias
from .mc_dropout import MCDropout
from .num_data import set_num_data
from .prior_functions import prior_fn, trainable_normal_fn
from .sampling import Sample
from .variable_layer import VariableLayer
from .variational_dropout import VariationalDropout
from .weight_functions import (
    default_loc_scale_fn,
    default_mean_field_normal_fn,
    default_multivariate_normal_fn,
)

__all__ = [
    "AppendVariable",
    "CategoricalMixtureOfOneHotCategorical",
    "ConcreteDropout",
    "ConvertToTensor",
    "Convolution1DFlipout",
    "Convolution1DLocalReparameterization",
    "Convolution1DReparameterization",
    "Convolution1DTransposeFlipout",
    "Convolution1DTransposeReparameterization",
    "Convolution2DFlipout",
    "Convolution2DLocalReparameterization",
    "Convolution2DReparameterization",
    "Convolution2DTransposeFlipout",
    "Convolution2DTransposeReparameterization",
    "Convolution3DFlipout",
    "Convolution3DLocalReparameterization",
    "Convolution3DReparameterization",
    "Convolution3DTransposeFlipout",
    "Convolution3DTransposeReparameterization",
    "DenseFlipout",
    "DenseLocalReparameterization",
    "DenseReparameterization",
    "DenseVariational",
    "DistributionLambda",
    "EmbeddingReparameterization",
    "GRUReparameterization",
    "Head",
    "HeadLoss",
    "IndependentBernoulli",
    "IndependentLogistic",
    "IndependentNormal",
    "IndependentPoisson",
    "KLDivergence",
    "KLDivergenceRegularizer",
    "KernelProvider",
    "LSTMReparameterization",
    "MCDropout",
    "MixtureLogistic",
    "MixtureNormal",
    "MixtureSameFamily",
    "MultivariateNormalTriL",
    "OneHotCategorical",
    "Sample",
    "StudentT",
    "UnitForgetBias",
    "VariableLayer",
    "VariationalDropout",
    "VariationalGaussianProcess",
    "default_loc_scale_fn",
    "default_mean_field_normal_fn",
    "default_multivariate_normal_fn",
    "log_uniform_fn",
    "prior_fn",
    "set_num_data",
    "sparsity",
    "trainable_normal_fn",
]
