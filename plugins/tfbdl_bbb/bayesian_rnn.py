"""BayesianRNN: a recurrent language model with a posterior over its weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfbdl.config import check_whole
from tfbdl.data import Dataset, as_dataset
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, OptionsError
from tfbdl.trainable import make_whole_executions

from .carried import CarriedStates
from .rnn_net import state_sizes
from .rnn_objective import TruncatedObjective
from .sharpening import Sharpening
from .truncation import TruncatedSequences, symbols_of


@keras.saving.register_keras_serializable(package="tfbdl_bbb")
class BayesianRNN(TruncatedObjective):
    """``p(x_1, ..., x_T | w) = prod_t p(x_t | x_1, ..., x_t-1, w)`` by a recurrent net.

    ``fit(x)`` takes rows of symbols 0, 1, ..., K - 1, ``[n, T]``: the streams of a text. Training
    is by truncated back-propagation through time: a step sees ``length`` symbols of each of its
    rows, with one draw of the weights for all of them, and leaves its states to the next. It
    minimises, per symbol, the negative log-likelihood and ``KL(q || prior)`` divided by the number
    of symbols: the sum over the C truncated sequences of each of the B batches of rows has one KL,
    so each has ``1 / (B C)`` of it.

    Args:
        net: From symbols and states to logits and states; see ``recurrent_net``.
        prior: A name, or a Prior.
        length: Symbols that a truncated sequence predicts.
        streams: Rows of a training step, at most. Rows fewer than these are cut into pieces that
            are read side by side, about so many in all; of more a step takes so many.
        sharpening: Draw the weights from a posterior that is moved along the gradient of the
            sequences at hand (see ``sharpening``). Predictions, which have no labels, use phi.
        sharpening_scale: s0.
        sharpening_rate: Where eta starts, for the gradient of the mean over symbols.
        **options: The other arguments of BayesianNetwork; the likelihood is ``categorical``, the
            estimator ``reparameterization``: one draw of the weights for all time steps.

    Raises:
        ModelError: If the net has another form.
        OptionsError: If an option is out of range, or likelihood or estimator another.

    References:
        Fortunato, Blundell & Vinyals 2017, "Bayesian Recurrent Neural Networks", algorithm 1
        and equations (10) to (13).

    Example:
        ```python
        model = BayesianRNN(recurrent_net(27, units=64))
        model.compile("adam")
        model.fit(x, epochs=20)               # x: [n, T], whole numbers from 0 to 26
        model.perplexity(x_test, draws=10)
        ```
    """

    default_learning_rate = 3e-3
    default_steps = 2_000
    optimizer_options = {
        name: {"global_clipnorm": 1.0} for name in ("adam", "sgd", "rmsprop", "adagrad")
    }

    def __init__(
        self,
        net: keras.Model,
        prior: str | Prior = "scale_mixture",
        *,
        length: int = 35,
        streams: int = 20,
        sharpening: bool = False,
        sharpening_scale: float = 0.02,
        sharpening_rate: float = 0.01,
        **options: Any,
    ) -> None:
        sizes = state_sizes(net)
        super().__init__(net, options.pop("likelihood", "categorical"), prior, **options)
        if self.likelihood.name != "categorical":
            raise OptionsError(
                "A BayesianRNN predicts symbols. Expected: likelihood='categorical'. "
                f"Received: {self.likelihood.name!r}."
            )
        if self.estimator != "reparameterization":
            raise OptionsError(
                "A BayesianRNN has one draw of its weights for all time steps. Expected: "
                f"estimator='reparameterization'. Received: {self.estimator!r}."
            )
        if not sharpening_scale > 0:
            raise OptionsError(f"sharpening_scale must be above 0. Received: {sharpening_scale}.")
        self.length = check_whole("length", length)
        self.streams = check_whole("streams", streams)
        self.sharpening_scale = float(sharpening_scale)
        self.sharpening_rate = float(sharpening_rate)
        self.num_symbols: int = net.outputs[0].shape[-1]
        self._add_state("symbols_seen", 0)
        self.carried = {
            stream: CarriedStates(sizes, self.streams, name=f"carried_{stream}")
            for stream in ("train", "evaluate")
        }
        shapes = {name: tuple(v.shape) for name, v in self.weight_sites().items()}
        self.sharpening = (
            Sharpening(shapes, self.sharpening_rate, self.sharpening_scale, name="sharpening")
            if sharpening
            else None
        )

    # -- Keras' verbs ---------------------------------------------------------------------------

    def compile(self, optimizer: Any = "adam", loss: Any = None, **kwargs: Any) -> None:
        """As BayesianNetwork, without metrics of targets: there are none beside the symbols.

        Raises:
            OptionsError: If a loss or metrics are given, or XLA is asked for with sharpening.
        """
        if kwargs.get("jit_compile") is True and self.sharpening is not None:
            raise OptionsError(
                "With sharpening XLA would compile each step anew, in seconds. Expected: "
                "jit_compile='auto' or False. Received: True."
            )
        for name in ("metrics", "weighted_metrics"):
            if kwargs.get(name):
                raise OptionsError(
                    "A BayesianRNN has metrics of its own (nll, perplexity, kl, elbo) and no "
                    f"targets for others. Received: {name}={kwargs[name]!r}."
                )
        super().compile(optimizer, loss, **kwargs)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As in Keras, of rows ``x [n, T]`` or ``[n, T, 1]``, -1 after the end of a row.

        Args:
            x: Rows of symbols, or a Dataset of such.
            y: None: what is predicted are the symbols themselves.
            batch_size: Rows of a step, at most ``streams``, which is the default. An epoch has
                ``steps_per_epoch(x, batch_size)`` steps.
            epochs, verbose, callbacks, initial_epoch: As in Keras.
            validation_split: Share of the rows, the last ones, for validation.
            validation_data: Rows for validation.
            shuffle: Whether rows that make several batches are shuffled, by (seed, epoch).
            class_weight, sample_weight: Refused.
            steps_per_epoch, validation_steps: As in Keras, in truncated sequences.
            **kwargs: Of Keras' ``fit``.

        Raises:
            DataError: If the rows are no symbols, or come with targets or weights.
        """
        data = self._dataset(x, y, sample_weight=sample_weight, class_weight=class_weight)
        if validation_split:
            if validation_data is not None:
                raise DataError("Give validation_split or validation_data. Received: both.")
            data, validation_data = data.validation_split(validation_split)
        parts = self._cut(data)
        size = self._batch_size(batch_size)
        held_out = None
        if validation_data is not None:
            held_out = self._evaluation_batches(validation_data, "x_val", size)
        rows = len(data.x)
        self.num_data = counted = self.given_num_data or rows
        self.symbols_seen.assign(round(parts.num_predicted * counted / rows))
        self.adopted = None  # draws of an engine; training moves the posterior itself
        steps = steps_per_epoch or parts.steps(size)
        make_whole_executions(self, steps)
        seed = int(self.rng_seed.numpy())
        return keras.Model.fit(
            self,
            parts.batches(size, seed=seed, shuffle=shuffle, start=initial_epoch * steps),
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=held_out,
            shuffle=False,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps,
            validation_steps=validation_steps,
            **kwargs,
        )

    def steps_per_epoch(self, x: Any, batch_size: int | None = None) -> int:
        """B C: the truncated sequences of an epoch, one for each step of training."""
        return self._cut(self._dataset(x)).steps(self._batch_size(batch_size))

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As in Keras, of rows ``x [n, T]``, read as ``fit`` reads them, without an update.

        ``nll`` is of one draw a step, from a stream of noise of its own; with sharpening of theta,
        which has seen the symbols: ``elbo`` is a bound, ``perplexity`` none of a prediction.
        """
        if not kwargs.get("_use_cached_eval_dataset"):
            self._require_num_data()
            self._dataset(x, y, sample_weight=kwargs.pop("sample_weight", None))
            x = self._evaluation_batches(x, "x", self._batch_size(batch_size))
        return keras.Model.evaluate(self, x, None, None, *args, **kwargs)

    def _require_num_data(self) -> None:
        super()._require_num_data()
        if not int(self.symbols_seen.numpy()):
            raise DataError(
                "The number of training symbols is not known, and the KL term is weighted by it. "
                "Fit first."
            )

    def _evaluation_batches(self, x: Any, what: str, size: int) -> tf.data.Dataset:
        parts = self._cut(self._dataset(x), what)
        return parts.batches(size, seed=0, shuffle=False, repeat=False)

    def _cut(self, data: Dataset, what: str = "x") -> TruncatedSequences:
        rows = symbols_of(data.x, self.num_symbols, what)
        return TruncatedSequences.cut(rows, self.length, self.streams)

    def _batch_size(self, batch_size: int | None) -> int:
        if batch_size is not None:
            check_whole("batch_size", batch_size)
        return min(batch_size or self.streams, self.streams)

    def _dataset(self, x: Any, y: Any = None, **weights: Any) -> Dataset:
        """Rows held as arrays, without targets or weights.

        Raises:
            DataError: If there are any, or the rows are a stream of batches.
        """
        for name, value in {"y": y, **weights}.items():
            if value is not None:
                raise DataError(
                    "A BayesianRNN predicts the symbols of x, each once. Expected: x alone. "
                    f"Received: {name}."
                )
        data = as_dataset(x)
        if data.stream is not None or data.sample_weight is not None or data.y is not None:
            kind = "a stream of batches" if data.stream is not None else "targets or weights"
            raise DataError(
                "A BayesianRNN reads rows in their own order, each symbol once. Expected: rows of "
                f"symbols as an array [n, T]. Received: {kind}."
            )
        return data

    # -- copies ---------------------------------------------------------------------------------

    def clone(self, seed: int | None = None, **changes: Any) -> BayesianRNN:
        """See BayesianNetwork; what is carried and learned beside q is copied too."""
        copy: BayesianRNN = super().clone(seed, **{**self._own_config(), **changes})
        if seed is None:
            pairs = [(self.carried[name], copy.carried[name]) for name in self.carried]
            if self.sharpening is not None and copy.sharpening is not None:
                pairs.append((self.sharpening, copy.sharpening))
            for mine, theirs in pairs:
                for old, new in zip(mine.weights, theirs.weights, strict=True):
                    if tuple(old.shape) == tuple(new.shape):  # other streams begin anew
                        new.assign(old)
            copy.symbols_seen.assign(self.symbols_seen)
        return copy

    def get_config(self) -> dict[str, Any]:
        """See BayesianNetwork."""
        return {**super().get_config(), **self._own_config()}

    def _own_config(self) -> dict[str, Any]:
        return {
            "length": self.length,
            "streams": self.streams,
            "sharpening": self.sharpening is not None,
            "sharpening_scale": self.sharpening_scale,
            "sharpening_rate": self.sharpening_rate,
        }
