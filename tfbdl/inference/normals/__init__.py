"""Normals over flat vectors, by the structure of their covariance, and posteriors made of them."""

from .base import LikelihoodCurvature, LogDet, Normal
from .dense import DenseCurvature, DenseNormal
from .diagonal import DiagonalCurvature, DiagonalNormal
from .kronecker import Factors, KroneckerCurvature, KroneckerNormal
from .low_rank import LowRankNormal
from .posterior import NormalPosterior, read_normal

__all__ = [
    "DenseCurvature",
    "DenseNormal",
    "DiagonalCurvature",
    "DiagonalNormal",
    "Factors",
    "KroneckerCurvature",
    "KroneckerNormal",
    "LikelihoodCurvature",
    "LogDet",
    "LowRankNormal",
    "Normal",
    "NormalPosterior",
    "read_normal",
]
