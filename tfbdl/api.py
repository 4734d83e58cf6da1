"""The verbs: fit, build, plan, load, resume. Names are checked before TensorFlow is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import planning
from .errors import OptionsError, RunError
from .planning import Plan
from .runs import RunFolder
from .specs import RunSpec

if TYPE_CHECKING:
    from .fitted import Fit
    from .protocols import OnStep

Options = Mapping[str, Any]


def fit(
    model: Any,
    data: Any,
    *,
    engine: str | None = None,
    prior: Any = None,
    model_options: Options | None = None,
    engine_options: Options | None = None,
    prior_options: Options | None = None,
    data_options: Options | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
) -> Fit:
    """Fit a model to data with an inference engine.

    Args:
        model: A registered name, a BayesianNetwork, a ``tfd.JointDistribution``, a LogDensity, or
            any object with a protocol of ``tfbdl.protocols``. An object stays as it is: the run
            works on a copy, initialised anew from ``seed`` unless
            ``engine_options={"initial": "current"}``.
        data: A data set's name, a file, ``(x, y)``, ``x``, a mapping, a data frame (with
            ``data_options={"target": ...}``), a tf.data.Dataset, a PyDataset or a Dataset.
        engine: A registered name; by default the model's own.
        prior: A registered name or a Prior; by default the model's own.
        model_options: Of a model given by name; ``tfbdl show NAME`` lists them.
        engine_options: Of the engine.
        prior_options: Of a prior given by name.
        data_options: Of a data set given by name or file; ``target`` and ``features`` of a frame.
        seed: Decides every random number of the run.
        out: A folder for the run: checkpoints, metrics, and what ``load`` reads.
        on_step: Called with a mapping of metrics now and then: after a chunk of Markov chain
            iterations, after ``steps_per_execution`` training steps. ``step`` says how far the
            run is, ``steps`` how long it will be. What it raises ends the run.

    Returns:
        The Fit: model, posterior, history and metrics.

    Raises:
        UnknownNameError: If a name is not registered; the message has the nearest one.
        OptionsError: If an option is unknown or not admitted.
        CapabilityError: If the engine cannot fit the model; the message names those that can.
        DataError: If the data cannot be trained on.
        RunError: If ``out`` is in use.

    Example:
        ```python
        fit = tfbdl.fit("bbb", "diabetes", engine_options={"epochs": 100}, seed=1)
        fit.metrics["nll"], fit.predict(x).interval(0.9)
        ```
    """
    spec = _spec(
        model, data, engine, prior, model_options, engine_options, prior_options, data_options, seed
    )
    checked = _checked(spec, model)
    from . import _backend, run  # noqa: F401 - the gate, then TensorFlow

    return run.execute(checked, model=_object(model), data=_object(data), out=out, on_step=on_step)


def plan(
    model: Any,
    data: Any = None,
    *,
    engine: str | None = None,
    prior: Any = None,
    model_options: Options | None = None,
    engine_options: Options | None = None,
    prior_options: Options | None = None,
    data_options: Options | None = None,
    seed: int = 0,
) -> Plan:
    """What ``fit`` would do with these arguments, checked, without TensorFlow.

    Raises:
        TfbdlError: As ``fit`` does, as far as can be told without looking at the data.
    """
    spec = _spec(
        model, data, engine, prior, model_options, engine_options, prior_options, data_options, seed
    )
    return _checked(spec, model)


def build(
    model: str,
    data: Any,
    *,
    prior: Any = None,
    model_options: Options | None = None,
    prior_options: Options | None = None,
    data_options: Options | None = None,
    seed: int = 0,
) -> Any:
    """The model that ``fit`` would train, before training: for your own ``model.fit``.

    Args:
        model: A registered name.
        data: As in ``fit``; the model takes shapes, classes and units from it.
        prior, model_options, prior_options, data_options, seed: As in ``fit``.
    """
    if not isinstance(model, str):
        raise OptionsError(
            f"build makes a model from its name. Expected a text. Received: {type(model).__name__}."
        )
    spec = _spec(model, data, None, prior, model_options, None, prior_options, data_options, seed)
    checked = _checked(spec, model)
    from . import _backend, run  # noqa: F401 - the gate, then TensorFlow

    dataset = run.load_data(checked, _object(data))
    return run.build_model(checked, getattr(dataset, "info", None))


def execute(
    spec: RunSpec, *, out: str | os.PathLike[str] | None = None, on_step: OnStep | None = None
) -> Fit:
    """Carry out a run that is given in plain values, as the command line does.

    Raises:
        OptionsError: If the run was made from objects, which plain values do not hold.
    """
    if spec.model is None or spec.data is None:
        raise OptionsError(
            "This run was made from objects in Python. Give them to tfbdl.fit, or to "
            "tfbdl.resume(dir, model=..., data=...)."
        )
    checked = planning.plan(spec)
    from . import _backend, run  # noqa: F401 - the gate, then TensorFlow

    return run.execute(checked, out=out, on_step=on_step)


def resume(
    dir: str | os.PathLike[str],  # noqa: A002 - a word that users type
    *,
    model: Any = None,
    data: Any = None,
    draws: int | None = None,
    on_step: OnStep | None = None,
) -> Fit:
    """Go on with a stopped run from its last whole checkpoint, to the result it would have had.

    Args:
        dir: The run's folder.
        model: The same object as before, if the run was made from one.
        data: The same data as before, if it was given as an object.
        draws: For engines with draws: how many more than the run has.
        on_step: As in ``fit``.

    Raises:
        RunError: If there is no such run, or the objects are missing or others than before.
        CheckpointError: If no checkpoint is whole.
    """
    folder = RunFolder(Path(dir))
    spec = folder.read_spec()
    from . import _backend, run  # noqa: F401 - the gate, then TensorFlow

    return run.resume(folder, spec, model=model, data=data, draws=draws, on_step=on_step)


def load(path: str | os.PathLike[str]) -> Any:
    """Read what was stored: a run's folder gives its Fit, a ``.keras`` file its model.

    Raises:
        RunError: If the folder holds no finished run.
        CheckpointError: If a file was altered or cut short.
    """
    path = Path(path)
    if path.suffix != ".keras":
        RunFolder(path).read_record()  # refuses before TensorFlow is loaded
    from . import _backend, stored  # noqa: F401 - the gate, then TensorFlow

    return stored.load_model(path) if path.suffix == ".keras" else stored.load(path)


def write_report(
    path: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Draw the pictures of a finished run.

    Args:
        path: The run's folder.
        folder: Where the pictures go; by default the run's folder.

    Returns:
        The files. Without the data, which the run knows by name alone, there are fewer of them.

    Raises:
        RunError: If the folder holds no finished run.
        MissingDependencyError: If matplotlib is not installed.
    """
    spec = RunFolder(Path(path)).read_spec()
    from . import _backend, report, run, stored  # noqa: F401 - the gate, then TensorFlow

    fit = stored.load(Path(path))
    named = spec.model is not None and spec.data is not None
    data = run.load_data(planning.plan(spec)) if named else None
    return report.write_report(fit, data, Path(path if folder is None else folder))


def serve(path: str | os.PathLike[str], *, idle: float = 600.0, port: int = 0) -> None:
    """Compute what pages show of runs, on request over HTTP on this machine, until idle.

    It answers at once and loads TensorFlow meanwhile. Where and with which token, ``.serve.json``
    in the folder says. It ends by itself when nothing was asked for a while, when the folder
    vanishes, and on SIGTERM.

    Args:
        path: The folder of a run, or of runs.
        idle: Seconds without a request after which it ends; above 0.
        port: Of 127.0.0.1; 0 for any that is free.

    Raises:
        OptionsError: If ``idle`` is not above 0.
        RunError: If there is no such folder, it is served already, or the port is in use.
    """
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise RunError(
            f"There is no folder {os.fspath(path)}. Expected a run's folder or one of runs."
        )
    if not idle > 0:
        raise OptionsError(f"idle must be a number of seconds above 0. Received: {idle!r}.")
    from .serving import server

    def load() -> Any:
        from . import _backend  # noqa: F401 - the gate, then TensorFlow
        from .serving import runs

        return runs.Runs(folder)

    still_busy = server.serve(folder, load, idle=idle, port=port)
    if still_busy:  # TensorFlow in another thread would crash the interpreter on its way out
        os._exit(0)


def _spec(
    model: Any,
    data: Any,
    engine: str | None,
    prior: Any,
    model_options: Options | None,
    engine_options: Options | None,
    prior_options: Options | None,
    data_options: Options | None,
    seed: int,
) -> RunSpec:
    if prior is not None and not isinstance(prior, str):  # a Prior is its name and its options
        if prior_options or not getattr(prior, "name", None):
            raise OptionsError(
                "prior must be a registered name, or a Prior made by tfbdl.prior(name, ...) "
                f"without prior_options beside it. Received: {prior!r}."
            )
        prior_options, prior = prior.options.model_dump(), prior.name
    if isinstance(data, os.PathLike):
        data = os.fspath(data)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise OptionsError(f"seed must be an integer from 0 to 2**63 - 1. Received: {seed!r}.")
    return RunSpec(
        model=model if isinstance(model, str) else None,
        data=data if isinstance(data, str) else None,
        engine=engine,
        prior=prior,
        model_options=dict(model_options or {}),
        engine_options=dict(engine_options or {}),
        prior_options=dict(prior_options or {}),
        data_options=dict(data_options or {}),
        seed=seed,
    )


def _checked(spec: RunSpec, model: Any) -> Plan:
    if isinstance(model, str):
        return planning.plan(spec)
    return planning.plan(
        spec,
        offered=planning.offered(model),
        default_engine=planning.default_engine_for(model),
        has_prior=hasattr(model, "prior"),
    )


def _object(value: Any) -> Any:
    """What was given as an object; names and paths are in the RunSpec."""
    return None if isinstance(value, (str, os.PathLike)) else value
