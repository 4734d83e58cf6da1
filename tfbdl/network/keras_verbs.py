"""Keras' verbs as a network has them: compile, fit, evaluate, predict."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from .. import functional
from ..errors import DataError, OptionsError
from ..trainable import make_whole_executions
from . import fitting
from .queries import PREDICT_DRAWS, PosteriorQueries

XLA_PARAMETERS = 20_000


class KerasVerbs(PosteriorQueries, keras.Model):
    """The part of a BayesianNetwork that a Keras user knows."""

    jit_compile: bool  # a property of keras.Model
    given_steps_per_execution = 1

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        *,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """As in Keras, without a loss: the objective is the ELBO.

        ``jit_compile="auto"`` means XLA on one device, none under a strategy of several replicas
        or where a layer does not support it. ``steps_per_execution`` is lowered by ``fit`` to a
        divisor of an epoch's steps, so that an epoch has as many as it should.

        Raises:
            OptionsError: If a loss is given.
        """
        if loss is not None:
            raise OptionsError(
                "BayesianNetwork has its own objective, the negative ELBO, and takes no loss. "
                f"Say what the data are like with likelihood=. Received: loss={loss!r}."
            )
        self.given_jit_compile = jit_compile
        self.given_steps_per_execution = steps_per_execution
        if jit_compile == "auto":
            jit_compile = not run_eagerly and fitting.supports_xla(self._network())
        super().compile(
            optimizer=functional.scaled_optimizer(self.net, optimizer),
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            **kwargs,
        )

    def get_compile_config(self) -> dict[str, Any] | None:
        """As in Keras, with ``jit_compile`` as it was given: devices may differ on loading."""
        config = super().get_compile_config()  # None where it was never compiled
        return config and {**config, "jit_compile": self.given_jit_compile}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a stored model was, and make room for the optimizer's state."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def make_test_function(self, force: bool = False) -> Any:
        """As in Keras; a small net is not worth compiling with XLA for each size of a batch."""
        compiled: bool = self.jit_compile
        self.jit_compile = compiled and self.surrogate.num_parameters > XLA_PARAMETERS
        try:
            return super().make_test_function(force)
        finally:
            self.jit_compile = compiled

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
        """As in Keras; the data are checked, counted, and ordered by (seed, epoch).

        Targets are numbers or classes as the likelihood takes them; texts are coded as in the
        first ``fit``. Of batches without a known end the first 16 are checked.

        Raises:
            DataError: If the data cannot be trained on, or their number of rows cannot be told.
            OptionsError: If ``class_weight`` is given.
        """
        if class_weight is not None:
            raise OptionsError(
                "class_weight would change the likelihood; give sample_weight, which multiplies "
                "each row's log-likelihood."
            )
        arguments = fitting.fit_arguments(
            self._network(),
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
        )
        make_whole_executions(self, arguments["steps_per_epoch"])
        self.adopted = None  # draws of an engine; training moves the posterior itself
        return super().fit(
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            initial_epoch=initial_epoch,
            shuffle=False,  # the batches come in the order they shall have
            **arguments,
            **kwargs,
        )

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As in Keras; ``nll`` of one draw a batch, from a stream of noise of its own."""
        if not kwargs.get("_use_cached_eval_dataset"):
            self._require_num_data()
            x, y = fitting.evaluation_data(self._network(), x, y, kwargs.get("steps"))
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; ``num_data`` must be known, and the data are not checked."""
        self._require_num_data()
        return super().train_on_batch(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; ``num_data`` must be known, and the data are not checked."""
        self._require_num_data()
        return super().test_on_batch(*args, **kwargs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> np.ndarray:
        """The predictive mean (class probabilities) over 32 draws at a fixed seed.

        Args:
            x: Inputs ``[n, ...]``; a tf.data.Dataset or PyDataset is gathered first.
            batch_size: Rows held at once; by default as memory allows.
            verbose: Accepted for Keras' sake; there is no progress bar.
            steps: For a stream: how many batches to take.
            callbacks: Refused unless empty.
        """
        if callbacks:
            raise OptionsError("predict takes no callbacks; use predictive(x) to see each draw.")
        x = fitting.gather_inputs(x, steps)
        predictive = self.predictive(x, PREDICT_DRAWS, batch_size=batch_size)
        return predictive.probs if self.likelihood.is_classification else predictive.mean

    def _require_num_data(self) -> None:
        if self.num_data is None:
            raise DataError(
                "The number of training rows is not known, and the KL term is weighted by it. "
                "Give BayesianNetwork(..., num_data=N), or fit first."
            )
