"""What a model must offer to get which inference, and what an engine must offer to be one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from .data import Dataset
    from .posterior import Posterior

Params = Mapping[str, "tf.Tensor"]
"""Site name -> the tensor of one state, in its constrained space, without a chain axis."""

OnStep = Callable[[Mapping[str, float]], None]
"""Called with the metrics now and then during a run; what it raises ends the run."""


class Site(NamedTuple):
    """One random tensor of a model.

    Attributes:
        name: Unique within the model; allowed in netCDF (no "/").
        shape: Of the constrained value, without a chain axis.
        bijector: A tfp bijector from the unconstrained to the constrained space; None: identity.
        dtype: Of the value.
    """

    name: str
    shape: tuple[int, ...]
    bijector: Any = None
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A learned parameter of a likelihood or a prior, such as the scale of a Gaussian.

    Attributes:
        shape: Of the constrained value.
        bijector: From the unconstrained to the constrained space; None: identity.
        initial: The constrained starting value; or a function that draws it, from a key ``[2]``.
        prior: A tfd distribution of the constrained value, with event shape ``shape``; it counts
            where the parameter is sampled, and is left out where it is a point estimate.
    """

    shape: tuple[int, ...] = ()
    bijector: Any = None
    initial: float | Callable[[tf.Tensor], tf.Tensor] = 1.0
    prior: Any = None


@runtime_checkable
class LogJoint(Protocol):
    """A joint density with explicit parameters (capability ``log_joint``)."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The random tensors."""

    def init(self, seed: int) -> Params:
        """A starting state."""

    def log_joint(self, params: Params, batch: Any) -> tf.Tensor:
        """``log_prior(params) + num_data * mean(log_lik(params, batch))``, without Jacobians."""


@runtime_checkable
class GaussianPrior(Protocol):
    """A prior of independent normals, and the likelihood apart (capability ``gaussian_prior``)."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The random tensors; none has a bijector."""

    def init(self, seed: int) -> Params:
        """A starting state."""

    def gaussian_prior(self) -> tuple[Params, Params]:
        """Mean and standard deviation of each element: site name -> array of the site's shape."""

    def log_likelihood_total(self, params: Params, batch: Any) -> tf.Tensor:
        """``num_data * mean(log_lik(params, batch))``: a scalar, in nats."""


@runtime_checkable
class PriorBySite(Protocol):
    """A model that can say what it believed of each site beforehand."""

    def prior_of(self, site: str, params: Params) -> Any:
        """The prior's distribution of a site, of event shape the site's; None if it is flat.

        Args:
            site: Its name.
            params: Values of sites that the prior of another depends on; absent ones have the
                value that was fitted, or that they start at.
        """


@runtime_checkable
class SeparatePrior(Protocol):
    """A prior apart from the likelihood, from which particles and candidates can be drawn."""

    def log_prior(self, params: Params) -> tf.Tensor:
        """The log prior density of a state in nats, without Jacobians: a scalar."""

    def sample_prior(self, seed: Any) -> Params:
        """A state drawn from the prior.

        Args:
            seed: An integer; or a scalar integer tensor, where many are drawn in one graph.
        """


Conditional = Callable[["tf.Tensor", Params, Any], Params]
"""From a key (``[2]``, for ``tfbdl.random`` or as a seed of TFP), the state of one chain and the
data to new values of some sites, drawn from their exact distribution given all the others."""


@runtime_checkable
class Conditionals(Protocol):
    """Blocks of sites that can be drawn exactly given the rest (capability ``conditionals``).

    A model whose log joint sums latents out gives these apart from ``init``, to be drawn too, by
    ``init_latents(seed)``.
    """

    @property
    def conditionals(self) -> Mapping[str, Conditional]:
        """Block name -> its conditional; all blocks together draw each site."""

    def init(self, seed: int) -> Params:
        """A starting state."""


@runtime_checkable
class DiscreteField(Protocol):
    """Labels on the sites of a graph (capability ``potts``).

    Its density is ``exp(sum_e beta_e 1[z_i = z_j] + sum_i log_likelihood[i, z_i])``, as of
    ``tfbdl.inference.Potts``. It may have ``log_likelihood [site, state]``. Another model of this
    capability has ``field(data)`` instead, which makes a ``Potts`` or ``DirichletPotts`` of data.

    Attributes:
        edges: Pairs of neighbours, ``[m, 2]``.
        num_sites: How many sites there are.
        num_states: How many labels.
        beta: Couplings, a number or ``[m]``.
    """

    edges: Any
    num_sites: int
    num_states: int
    beta: Any


Statistics = Mapping[str, "tf.Tensor"]
"""Expected sufficient statistics: name -> a sum over rows, so that those of parts of the rows,
added up, are those of all rows."""


@runtime_checkable
class ExpectationMaximization(Protocol):
    """Latent variables that can be integrated out given the parameters (capability ``em``).

    Everything is pure TensorFlow, for ``tf.function``. A model may have more:

    - ``sampled_e_step(params, rows, key)``: statistics at latents drawn with the key ``[2]``, for
      the Monte Carlo E-step;
    - ``variational_e_step(params, rows)``: under the best distribution of a simpler family; the
      log likelihood is a bound then;
    - ``check_start(params)``: raises OptionsError where a user's start is not admitted;
    - ``row_bytes``: memory that a row takes in the E-step, by which rows are parted;
    - ``jit_compile``: what XLA compiles: True, the whole loop; ``"e_step"``, that alone; False,
      nothing; by default the E-step of large data;
    - ``rounding(params)``: nats of a row that rounding may move, where more than some last digits;
    - ``degenerate(params)``: whether the objective means little there; other restarts are better;
    - ``num_parameters``: free numbers of a fit, for BIC and AIC;
    - ``objective_unit``: what stands for a nat in the tolerance, where the objective is in none;
    - ``figures()`` and ``notices()``: numbers for the run's metrics, sentences for warnings.

    Attributes:
        objective: What ``log_likelihood`` is, as it is called in the history: ``log_likelihood``,
            ``elbo``, or the method's own word.
    """

    objective: str

    def rows(self, data: Dataset) -> Any:
        """The data as ``e_step`` takes them: a tensor ``[n, ...]`` or a nest of such.

        Raises:
            DataError: If the model cannot be fitted to them.
        """

    def start(self, rows: Any, method: str, seed: int) -> Params:
        """Parameters to begin with, by ``method``: ``auto``, ``kmeans++`` or ``random``.

        Raises:
            OptionsError: If the model has no such start.
        """

    def e_step(self, params: Params, rows: Any) -> Statistics:
        """Sufficient statistics expected under ``p(latents | rows, params)``."""

    def m_step(self, statistics: Statistics) -> Params:
        """The parameters that make the expected complete log likelihood largest."""

    def log_likelihood(self, params: Params, statistics: Statistics) -> tf.Tensor:
        """What EM raises, of the ``params`` under which ``statistics`` were expected: nats."""

    def assign(self, params: Params) -> None:
        """Take fitted parameters for the model's own."""


@runtime_checkable
class Alternating(Protocol):
    """A ``keras.Model`` whose bound is raised in two sets of weights (capability ``em``).

    It says so itself in its ``capabilities``. Its own objective is trained in both phases, with
    the other phase's weights held.
    """

    def phases(self) -> Mapping[str, Sequence[keras.Variable]]:
        """``e``: the weights of q; ``m``: those of the model; together all that train."""


@runtime_checkable
class ClosedForm(Protocol):
    """A posterior, or a maximum of the likelihood, in closed form (capability ``exact``)."""

    def condition(self, data: Dataset) -> Posterior | None:
        """Take in data: what the model believed before is the prior.

        Called again with further rows it gives the posterior given all of them. None where the
        parameters are a point estimate.
        """


@runtime_checkable
class Stateful(Protocol):
    """A model that is no ``keras.Model`` and yet can be stored: arrays out and in."""

    def get_state(self) -> Mapping[str, Any]:
        """Name -> array: all that a fit has decided."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The inverse, on a model made with the same options for the same data."""


@runtime_checkable
class HeldOut(Protocol):
    """A model of rows without targets that can say how well it describes rows it has not seen.

    A run on data with test rows asks for it, and calls the figures ``test_...``.
    """

    def held_out(self, x: Any) -> Mapping[str, float]:
        """Name -> mean over rows, such as ``nll`` or ``elbo`` in nats; cheap to compute.

        Args:
            x: Rows ``[n, ...]``, at most 20,000.
        """


@runtime_checkable
class Trainable(Protocol):
    """A ``keras.Model`` whose compiled objective is complete (capability ``trainable``).

    It may have ``default_learning_rate``, for an engine that is given none, and
    ``optimizer_options``: settings beside it by the optimizer's name, as ``{"adam": {...}}``;
    ``default_steps``, for an engine that is given no number; ``brings_optimizer``, where it is
    compiled without one; ``steps_per_epoch(data, batch_size)``, where that is not the number of its
    batches of rows.
    """

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Set optimizer and objective."""

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train."""


@dataclass(frozen=True, kw_only=True)
class EngineResult:
    """What an engine gives back.

    Attributes:
        posterior: The posterior, or None if the model has none.
        history: Metric name -> its value after each step or epoch.
        metrics: Figures of the run as a whole.
    """

    posterior: Posterior | None
    history: Mapping[str, list[float]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


class Checkpoints(Protocol):
    """Where an engine leaves its whole state, to go on from there after a stop."""

    def save(self, step: int, arrays: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Write arrays and plain values as the state after ``step``."""

    def restore(self) -> tuple[int, Mapping[str, Any], Mapping[str, Any]] | None:
        """The latest whole state as (step, arrays, notes), or None."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a run lends to its engine.

    Attributes:
        seed: The run's seed.
        on_step: Call it with the metrics after each step, or after as many as are made at once;
            it may raise RunCancelled. None if nobody listens.
        checkpoints: Where to leave the state; None if the run keeps none.
    """

    seed: int = 0
    on_step: OnStep | None = None
    checkpoints: Checkpoints | None = None


@runtime_checkable
class Engine(Protocol):
    """What the factory of an EngineSpec makes from its options."""

    def fit(self, model: Any, data: Dataset, context: Context) -> EngineResult:
        """Turn model and data into a posterior."""
