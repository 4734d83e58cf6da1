"""Head: the base class of the layers that end a net in the parameters of a distribution."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ...errors import ModelError, OptionsError
from ...likelihoods.base import Distribution, Likelihood, Tensor
from .head_loss import HeadLoss
from .shapes import as_events


class Head(keras.layers.Layer):
    """A layer whose outputs are the parameters of a distribution, and which knows that one.

    ``head(inputs)`` gives the inputs themselves, checked and in float32 at least: a tensor, since
    Keras 3 can neither train on nor predict a distribution. ``head.distribution(outputs)`` is a
    function of those outputs alone, be they a tensor, or an array that ``predict`` gave.

    A subclass overrides ``law`` and ``num_params``, and has a static ``params_size``.

    Args:
        convert_to_tensor_fn: None. TFP's layers are drawn from by themselves; a head is followed
            by ``ConvertToTensor(head, ...)`` where a draw or a mean is to go on.
        validate_args: Whether TFP checks the parameters when the law is made.
        **kwargs: Of ``keras.layers.Layer``: ``name``, ``dtype``, ``activity_regularizer`` (such as
            ``KLDivergenceRegularizer``).

    Shapes:
        inputs and outputs: ``[..., params_size]``
        distribution: batch shape ``[...]``

    Raises:
        OptionsError: If ``convert_to_tensor_fn`` is given.
        ModelError: If the inputs have another width.
    """

    activity_regularizer: Any

    def __init__(
        self, convert_to_tensor_fn: Any = None, validate_args: bool = False, **kwargs: Any
    ) -> None:
        if convert_to_tensor_fn is not None:
            raise OptionsError(
                f"{type(self).__name__} gives parameters, and takes no convert_to_tensor_fn. To "
                "go on with a draw or a mean, let tfbdl.layers.ConvertToTensor(head, 'sample') "
                f"follow it, or 'mean', 'mode', 'stddev', 'variance'. Received: "
                f"{convert_to_tensor_fn!r}."
            )
        super().__init__(autocast=False, **kwargs)  # half precision is widened, not kept
        self.supports_masking = True
        self.validate_args = bool(validate_args)
        bind = getattr(self.activity_regularizer, "bound_to", None)
        if bind is not None:
            self.activity_regularizer = bind(self)

    @property
    def num_params(self) -> int | None:
        """The width of inputs and outputs, as ``params_size`` gives it; None: any."""
        raise NotImplementedError(f"{type(self).__name__} must override num_params.")

    def law(self, params: Tensor) -> Distribution:
        """The distribution of checked parameters."""
        raise NotImplementedError(f"{type(self).__name__} must override law(params).")

    def marginals(self, params: Tensor) -> Distribution:
        """The law of each element of a target, with scalar events, of checked parameters.

        Its batch shape is that of the targets. A law that has none leaves this as it is.
        """
        raise NotImplementedError(f"{type(self).__name__} has no law of single elements.")

    def distribution(self, outputs: Any) -> Distribution:
        """The law of a target, given the outputs of this head.

        Args:
            outputs: ``[..., params_size]``.

        Returns:
            A ``tfd.Distribution`` of batch shape ``[...]``.

        Raises:
            ModelError: If the outputs have another width.
        """
        return self.law(self.checked(outputs))

    def log_prob(self, outputs: Any, y: Any) -> Tensor:
        """The log density of each example's target: ``[...]``.

        Raises:
            DataError: If the shapes of outputs and targets do not fit.
        """
        law = self.distribution(outputs)
        if not isinstance(law.dtype, tf.DType):  # a joint distribution has parts
            return law.log_prob(y)
        return law.log_prob(as_events(y, law))

    def example_loss(self, y_true: Any, outputs: Any) -> Tensor:
        """What ``loss`` gives for each example: the negative log-likelihood, ``[...]``."""
        return -self.log_prob(outputs, y_true)

    @property
    def loss(self) -> HeadLoss:
        """``loss(y_true, outputs)``: for ``compile(loss=head.loss)``, and stored with a model."""
        return HeadLoss(self)

    @property
    def as_likelihood(self) -> Likelihood:
        """The same law for ``BayesianNetwork(net, likelihood=head)``.

        Raises:
            ModelError: If the events are no vectors, or have no laws of single elements.
        """
        from .head_likelihood import HeadLikelihood

        return HeadLikelihood(self)

    def mean(self, outputs: Any) -> Tensor:
        """The mean of the law: ``[..., *event_shape]``."""
        return self.distribution(outputs).mean()

    def stddev(self, outputs: Any) -> Tensor:
        """The standard deviation of each element under the law: ``[..., *event_shape]``."""
        return self.distribution(outputs).stddev()

    # -- Keras' verbs ------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Check the width; make the weights of a regularizer that learns its prior."""
        self.check_width(input_shape)
        self.make_regularizer_weights()
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The parameters, checked and widened."""
        return self.checked(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the inputs."""
        return input_shape

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """The shape of the inputs, in the dtype of the parameters."""
        self.check_width(inputs.shape)
        return keras.KerasTensor(inputs.shape, dtype=self.params_dtype)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return {**super().get_config(), "validate_args": self.validate_args}

    # -- for subclasses ----------------------------------------------------------------------

    def make_regularizer_weights(self) -> None:
        """What a ``KLDivergenceRegularizer`` learns or draws by belongs to its head."""
        make = getattr(self.activity_regularizer, "make_weights", None)
        if make is not None:
            make(self)

    @property
    def params_dtype(self) -> str:
        """float64 for a layer of that dtype, else float32: mixed precision included."""
        return "float64" if self.variable_dtype == "float64" else "float32"

    def checked(self, outputs: Any) -> Tensor:
        """Outputs as a tensor of ``params_dtype`` and the right width."""
        outputs = tf.cast(tf.convert_to_tensor(outputs), self.params_dtype)
        self.check_width(outputs.shape)
        if self.num_params is None or outputs.shape[-1] is not None:
            return outputs
        return tf.ensure_shape(outputs, [*outputs.shape[:-1], self.num_params])

    def check_width(self, shape: Any) -> None:
        """Raise ModelError unless outputs of this shape have the width of this head."""
        expected = self.num_params
        if expected is None:
            return
        width = shape[-1] if len(shape) else None
        if not len(shape) or width not in (None, expected):
            raise ModelError(
                f"The head {self.name!r} needs {type(self).__name__}.params_size(...) = {expected} "
                f"numbers for each example: inputs of shape [..., {expected}]. "
                f"Received: shape {tuple(shape)}."
            )
