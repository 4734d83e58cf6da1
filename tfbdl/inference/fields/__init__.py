"""Discrete fields: labels on the sites of a graph, neighbours of which like to agree."""

from .dirichlet_potts import DirichletPotts
from .field import Field
from .potts import Potts

__all__ = ["STORED", "DirichletPotts", "Field", "Potts"]

STORED: dict[str, type[Field]] = {kind.__name__: kind for kind in (Potts, DirichletPotts)}
"""The fields by the names under which a stored run knows them."""
