"""Where the chain is, as weights of a model: those of all nets, and what the recipe keeps beside.

A plain object, so that Keras finds each weight at the model alone.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np

from tfbdl.inference.surrogate import read
from tfbdl.trainable import TrainableModel

from .recipe import Side, State
from .stacked import StackedNet, Tensors

Variables = dict[str, keras.Variable]


class Nets(NamedTuple):
    """The nets of both sides."""

    generators: StackedNet
    discriminators: StackedNet


class ChainWeights:
    """The state of the chain; its step is the model's ``rng_step``.

    Args:
        model: Whose weights hold it. Weights of nets that are sampled are trainable.
        nets: Of both sides.
        seed: Of their first weights.
    """

    def __init__(self, model: TrainableModel, nets: Nets, seed: int) -> None:
        self.model = model
        self.sides = [self._side(stack, seed) for stack in nets]

    def _side(self, stack: StackedNet, seed: int) -> tuple[Variables, Variables, Variables]:
        add = self.model.add_state
        start = {name: value.numpy() for name, value in stack.start(seed).items()}
        params = {
            name: add(variable_name(name), value, trainable=stack.is_trainable)
            for name, value in start.items()
        }
        velocity, second = (
            {
                name: add(f"{variable_name(name)}_{slot}", np.zeros_like(value))
                for name, value in start.items()
            }
            for slot in ("velocity", "second")
        )
        return params, velocity, second

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Site name -> ``[J, ...]``, of both sides."""
        return {name: tuple(v.shape) for side in self.sides for name, v in side[0].items()}

    def params(self, role: str) -> Tensors:
        """Present weights of the ``generator`` or the ``discriminator``: site name -> value."""
        side = self.sides[0 if role == "generator" else 1]
        return {name: read(variable) for name, variable in side[0].items()}

    def state(self) -> State:
        """All of it, as tensors."""
        g, d = (
            Side(*({name: read(v) for name, v in part.items()} for part in side))
            for side in self.sides
        )
        return State(read(self.model.rng_step), g, d)

    def assign(self, state: State) -> None:
        """The inverse of ``state``."""
        self.model.rng_step.assign(state.step)
        for side, values in zip(self.sides, (state.generators, state.discriminators), strict=True):
            for variables, tensors in zip(side, values, strict=True):
                for name, variable in variables.items():
                    variable.assign(tensors[name])


def variable_name(site: str) -> str:
    """A site's name as Keras allows it."""
    return site.replace(".", "_")
