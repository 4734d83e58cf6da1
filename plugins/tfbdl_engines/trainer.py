"""Train copies of a net on data: many steps in one compiled program, its whole state in and out.

The copies (members) of a group train side by side, stacked along a first axis, wherever the net's
layers can be vectorised. What a member sees is a function of (seed, member, step), so the weights
do not depend on where the program is cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

import tfbdl
from tfbdl import functional, random
from tfbdl.data import Dataset
from tfbdl.errors import DataError
from tfbdl.inference.rows import set_num_data
from tfbdl.inference.sgmcmc import adam

from .loss_scaling import Scaling, computes_in_half, kept, start_scaling, updated
from .network_config import TrainingOptions

Tensors = dict[str, tf.Tensor]
Penalty = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]
"""From the constrained parameters to what is added to the negative log likelihood, in nats."""

CAPACITY = 256  # the most steps of one call
ROWS_BYTES = 2**24
GROUP_BYTES = 256 * 2**20


class State(NamedTuple):
    """All there is to know of a group, to go on from here.

    Attributes:
        step: Steps made.
        params: Name -> unconstrained ``[member, ...]``: all that trains.
        first, second: Adam's moments.
        buffers: Name -> ``[member, ...]``: what training changes without a gradient, such as
            moving statistics and the seeds of dropout.
        scaling: Of the loss, where a layer computes in float16; else nothing.
    """

    step: tf.Tensor
    params: Tensors
    first: Tensors
    second: Tensors
    buffers: Tensors
    scaling: Scaling | tuple[()] = ()


class Trainer:
    """Adam on ``mean(-log p(y | x, w)) + penalty(w) / num_data``, for several members at once.

    Args:
        model: What has a net, a likelihood and learned parameters, as a BayesianNetwork.
        data: The training rows.
        options: See TrainingOptions.
        penalty: Beside the likelihood, in nats of the whole data; None: nothing.
        seed: Of starts, orders and noise.

    Attributes:
        steps: Of each member.
        group: How many members train at once.
        num_rows: Training rows.
    """

    def __init__(
        self,
        model: tfbdl.BayesianNetwork,
        data: Dataset,
        options: TrainingOptions,
        penalty: Penalty | None,
        seed: int,
        members: int,
    ) -> None:
        self.model, self.options, self.penalty, self.seed = model, options, penalty, seed
        self.x, self.y, self.sample_weight = _rows_of(data)
        self.num_rows = int(self.y.shape[0])
        self.num_data = set_num_data(model, self.num_rows) or self.num_rows
        self.batch_size = min(options.batch_size, self.num_rows)
        self.steps = options.steps
        if options.epochs is not None:
            self.steps = math.ceil(options.epochs * self.num_rows / self.batch_size)
        self.half = computes_in_half(model.net)
        self._orders: dict[int, tuple[int, np.ndarray]] = {}  # member -> (epoch, its order)
        named = functional.site_names(model.net)
        trainable = {id(variable) for variable in model.net.trainable_variables}
        self.weights = {name: v for name, v in named.items() if id(v) in trainable}
        weights = {id(variable): name for name, variable in named.items()}
        self.buffers = {
            weights.get(id(variable), f"seed {i}"): variable
            for i, variable in enumerate(model.net.non_trainable_variables)
        }
        self.seeds = [name for name in self.buffers if name not in named]
        layers = functional.layers_of(model.net)
        vectorizable = functional.is_vectorizable(model.net) and not self.seeds
        self.group = self._group(members) if vectorizable else 1
        each = max(1, ROWS_BYTES // (4 * self.group * self.batch_size))
        self.capacity = min(CAPACITY, self.steps, each)
        # XLA draws Keras' random numbers forty times slower on a CPU than without it
        compiled = all(layer.supports_jit for layer in layers) and not self.seeds
        self._advance = tf.function(self._many_steps, jit_compile=compiled, autograph=False)

    # -- a group -----------------------------------------------------------------------------

    def start(self, members: range) -> State:
        """The state before the first step, each member from a seed of its own."""
        self._orders.clear()
        each = [self._start_of(member) for member in members]
        params = {name: tf.stack([one[0][name] for one in each]) for name in each[0][0]}
        buffers = {name: tf.stack([one[1][name] for one in each]) for name in each[0][1]}
        zeros = tf.nest.map_structure(tf.zeros_like, params)
        again = tf.nest.map_structure(tf.identity, zeros)
        scaling = start_scaling(len(members)) if self.half else ()
        return State(tf.constant(0), params, zeros, again, buffers, scaling)

    def advance(self, state: State, members: range, count: int) -> tuple[State, np.ndarray]:
        """Make up to ``capacity`` steps; gives the loss of each too, ``[count, member]``."""
        rows = np.zeros((self.capacity, len(members), self.batch_size), "int32")
        first = int(state.step)
        for i, member in enumerate(members):
            rows[:count, i] = self.order(member, first, count)
        who = tf.constant(list(members))
        state, losses = self._advance(state, tf.constant(rows), who, tf.constant(count))
        return state, losses.numpy()[:count]

    def constrained(self, params: Mapping[str, tf.Tensor]) -> Tensors:
        """Name -> values in the constrained space, with any leading axes."""
        learned = self.model.learned
        return {
            name: learned[name].constrain(value) if name in learned else value
            for name, value in params.items()
        }

    def _group(self, members: int) -> int:
        """As many members as fit in memory: activations, their gradients, weights and moments."""
        weights = functional.count(list(self.weights.values()))
        numbers = 3 * functional.activation_size(self.model.net) * self.batch_size + 4 * weights
        return int(np.clip(GROUP_BYTES // (4 * numbers), 1, members))

    def _start_of(self, member: int) -> tuple[Tensors, Tensors]:
        key = random.key(self.seed, "member", member)
        current = self.options.initial == "current"
        net = self.model.net
        if not current:
            net = functional.clone(net, int(random.bits((), key).numpy()))
        named = functional.site_names(net)
        params = {name: tf.convert_to_tensor(named[name]) for name in self.weights}
        for name, item in self.model.learned.items():
            raw = tf.convert_to_tensor(self.model.learned_raw[name])
            params[name] = raw if current else item.initial_raw()
        buffers: Tensors = {}
        for i, (name, variable) in enumerate(self.buffers.items()):
            if name in named:
                buffers[name] = tf.convert_to_tensor(named[name])
            else:  # the generator's seed and its count
                bits = random.bits((), random.fold_in(key, i))
                buffers[name] = tf.stack([tf.cast(bits, variable.dtype), 0])
        return params, buffers

    # -- the order of the data ---------------------------------------------------------------

    def order(self, member: int, first: int, count: int) -> np.ndarray:
        """The rows of some steps, ``[count, batch]``: epoch after epoch, each in an own order.

        Batches run on over the end of an epoch, so that all have the same size.
        """
        places = np.arange(first * self.batch_size, (first + count) * self.batch_size)
        epochs = range(places[0] // self.num_rows, places[-1] // self.num_rows + 1)
        orders = np.concatenate([self._permutation(member, epoch) for epoch in epochs])
        return orders[places - epochs[0] * self.num_rows].reshape(count, self.batch_size)

    def _permutation(self, member: int, epoch: int) -> np.ndarray:
        """An epoch's order; a member's last is kept, since its next steps begin there."""
        if self._orders.get(member, (-1,))[0] != epoch:
            rng = np.random.default_rng([self.seed, member, epoch])
            self._orders[member] = (epoch, rng.permutation(self.num_rows).astype("int32"))
        return self._orders[member][1]

    # -- the steps ---------------------------------------------------------------------------

    def _many_steps(
        self, state: State, rows: tf.Tensor, who: tf.Tensor, count: tf.Tensor
    ) -> tuple[State, tf.Tensor]:
        members = rows.shape[1]

        def body(i: tf.Tensor, state: State, losses: tf.Tensor) -> Any:
            state, loss = self._step(state, rows[i], who)
            return i + 1, state, tf.tensor_scatter_nd_update(losses, [[i]], [loss])

        losses = tf.zeros((self.capacity, members), "float32")
        loop = (tf.constant(0), state, losses)
        return tf.while_loop(lambda i, *_: i < count, body, loop)[1:]

    def _step(self, state: State, rows: tf.Tensor, who: tf.Tensor) -> tuple[State, tf.Tensor]:
        keys = random.fold_in(random.key(self.seed, "likelihood"), state.step)
        keys = random.fold_in(keys, who)  # noise of each member's own
        scale = state.scaling.scale if isinstance(state.scaling, Scaling) else ()

        def one(given: Any) -> Any:
            return self._gradient(*given)

        given = (state.params, state.buffers, rows, keys, scale)
        loss, gradient, buffers = _each_member(one, given, rows.shape[0])
        params, first, second = self.moved(state, gradient)
        scaling = state.scaling
        if isinstance(scaling, Scaling):
            before = (state.params, state.first, state.second)
            params, first, second = kept(scaling, gradient, (params, first, second), before)
            scaling = updated(scaling, gradient)
        return State(state.step + 1, params, first, second, buffers, scaling), loss

    def moved(self, state: State, gradient: Tensors) -> tuple[Tensors, Tensors, Tensors]:
        """Parameters and moments after a step against the gradient."""
        return adam(
            state.params,
            state.first,
            state.second,
            tf.nest.map_structure(tf.negative, gradient),
            state.step,
            self.rate(state.step),
        )

    def _gradient(
        self, params: Tensors, buffers: Tensors, rows: tf.Tensor, key: tf.Tensor, scale: Any
    ) -> tuple[tf.Tensor, Tensors, Tensors]:
        """Of one member: loss, its gradient, and what the call has changed."""
        with tf.GradientTape() as tape:
            tape.watch(params)
            loss, buffers = self._loss(params, buffers, rows, key)
            scaled = loss * tf.cast(scale, loss.dtype) if self.half else loss
        zero = tf.UnconnectedGradients.ZERO
        gradient = tape.gradient(scaled, params, unconnected_gradients=zero)
        if self.half:
            gradient = {name: g / tf.cast(scale, g.dtype) for name, g in gradient.items()}
        return tf.cast(loss, "float32"), gradient, buffers

    def _loss(
        self, params: Tensors, buffers: Tensors, rows: tf.Tensor, key: tf.Tensor
    ) -> tuple[tf.Tensor, Tensors]:
        model, values = self.model, self.constrained(params)
        pairs = [(variable, params[name]) for name, variable in self.weights.items()]
        pairs += [(variable, buffers[name]) for name, variable in self.buffers.items()]
        x = tf.nest.map_structure(lambda part: tf.gather(part, rows), self.x)
        added: list[tf.Tensor] = []
        outputs, changed = _apply(model.net, pairs, x, list(self.buffers.values()), added)
        if outputs.dtype.size < 4:  # half precision ends where the likelihood begins
            outputs = tf.cast(outputs, "float32")
        log_lik = model.likelihood.log_prob(
            outputs, tf.gather(self.y, rows), model.likelihood_parameters(values), key=key
        )
        if self.sample_weight is not None:
            log_lik *= tf.cast(tf.gather(self.sample_weight, rows), log_lik.dtype)
        loss = -tf.reduce_mean(log_lik)
        if self.penalty is not None:
            loss += tf.cast(self.penalty(values), loss.dtype) / self.num_data
        loss += sum((tf.cast(part, loss.dtype) for part in added), tf.zeros((), loss.dtype))
        return loss, dict(zip(self.buffers, changed, strict=True))

    def rate(self, step: tf.Tensor) -> tf.Tensor | float:
        """The learning rate of a step."""
        if self.options.schedule == "constant":
            return self.options.learning_rate
        share = tf.cast(step, "float32") / float(self.steps)
        return self.options.learning_rate * 0.5 * (1.0 + tf.cos(np.pi * share))


def penalty_of(model: tfbdl.BayesianNetwork, objective: str) -> Penalty | None:
    """What an objective adds to the loss: the prior under ``map``, nothing under ``likelihood``."""
    return log_prior_penalty(model) if objective == "map" else None


def log_prior_penalty(model: tfbdl.BayesianNetwork) -> Penalty:
    """Minus the log prior of the random weights and of what is learned, in nats."""
    return lambda values: -model.log_prior(values)


def _apply(
    net: Any, pairs: list[Any], x: Any, buffers: list[Any], added: list[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Run the net as in training: its outputs, and the value of each buffer afterwards."""
    given = {id(variable): value for variable, value in pairs}
    names = {id(variable) for variable in buffers}
    outputs, updates = functional.apply(net, pairs, x, training=True, losses=added)
    changed = given | {id(variable): value for variable, value in updates if id(variable) in names}
    return outputs, [changed[id(variable)] for variable in buffers]


def _each_member(fn: Callable[[Any], Any], given: Any, members: int) -> Any:
    """``fn`` of each member's part of a nest; one member alone needs no mapping."""
    if members == 1:
        found = fn(tf.nest.map_structure(lambda value: value[0], given))
        return tf.nest.map_structure(lambda value: value[tf.newaxis], found)
    return tf.vectorized_map(fn, given, warn=False)


def _rows_of(data: Dataset) -> tuple[Any, tf.Tensor, tf.Tensor | None]:
    """All rows in memory: inputs, targets, weights.

    Raises:
        DataError: If there are no targets, or the rows come from a stream that does not end.
    """
    data = data.in_memory()
    if data.y is None:
        raise DataError("Training a net needs targets. Expected (x, y). Received: x alone.")
    x = tf.nest.map_structure(tf.convert_to_tensor, data.x)
    weight = data.sample_weight
    return x, tf.convert_to_tensor(data.y), None if weight is None else tf.convert_to_tensor(weight)
