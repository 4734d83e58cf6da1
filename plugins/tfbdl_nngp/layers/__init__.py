"""The layers of infinitely wide networks, as maps of covariances."""

from __future__ import annotations

from .activation import Activation
from .attention import Attention
from .base import Covariances, Flow, Layer
from .convolution import Convolution
from .dense import Dense
from .flatten import Flatten
from .global_average_pooling import GlobalAveragePooling
from .layer_normalization import LayerNormalization
from .pooling import AveragePooling
from .residual import Residual

__all__ = [
    "Activation",
    "Attention",
    "AveragePooling",
    "Convolution",
    "Covariances",
    "Dense",
    "Flatten",
    "Flow",
    "GlobalAveragePooling",
    "Layer",
    "LayerNormalization",
    "Residual",
]
