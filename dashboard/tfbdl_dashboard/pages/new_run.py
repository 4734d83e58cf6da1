"""The page of a new run: model, data, engine, prior and seed, checked at each change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydantic
import streamlit as st

from tfbdl import planning, registry
from tfbdl.config import OptionField
from tfbdl.errors import TfbdlError
from tfbdl.specs import EngineSpec, ModelSpec, RunSpec, Spec
from tfbdl_dashboard import charts, commands, jobs, run_index, side, state
from tfbdl_dashboard.data_choice import data_form
from tfbdl_dashboard.data_roles import UNSUPERVISED, DataChoice
from tfbdl_dashboard.forms import option_errors, options_form
from tfbdl_dashboard.option_widgets import option_widget
from tfbdl_dashboard.plain_text import escaped, without_paths

ANY = "All"
STANDARD_NORMAL = "N(0, 1)"
BESIDE = 36
"""Characters of a line that stands beside the form."""
_TASKS = {
    "regression": "Regression",
    "classification": "Classification",
    UNSUPERVISED: "Structure, no targets",
}
_SEED = OptionField(
    name="seed",
    kind="int",
    item="int",
    optional=False,
    default=0,
    description="Decides every random number of the run.",
    low=0,
    high=2**63 - 1,
)


@dataclass(frozen=True)
class Preset:
    """A run whose choices are shown at first.

    Attributes:
        key: Begins the keys of all widgets, so that another preset has widgets of its own.
        spec: The run, or None.
    """

    key: str
    spec: RunSpec | None = None


def show() -> None:
    """Draw the page."""
    st.title("New run")
    models = registry.registry().models
    if not models:
        st.info("No plugin provides a model.")
        return
    preset = _preset()
    form, summary = st.columns([5, 3], gap="large")
    with form:
        st.subheader("Model")
        model = _model(preset, models)
        same = preset.spec if preset.spec and preset.spec.model == model.name else None
        model_options = options_form(
            model.config, f"{preset.key}:model:{model.name}", _given(same, "model", model.name)
        )
        st.subheader("Data")
        data = data_form(f"{preset.key}:data", model, preset.spec, state.runs_root())
        st.subheader("Engine")
        engine, engine_options = _engine(preset, same, model)
        st.subheader("Prior")
        prior, prior_options, draw_density = _prior(preset, same, model)
        st.subheader("Seed")
        with st.container(width=260):
            seed = option_widget(
                _SEED, f"{preset.key}:seed", preset.spec.seed if preset.spec else 0
            )
    values = {
        "model": model.name,
        "data": data.data,
        "engine": engine,
        "prior": prior,
        "model_options": model_options,
        "engine_options": engine_options,
        "prior_options": prior_options,
        "data_options": data.options,
        "seed": seed,
    }
    with summary:
        _summary(values, data)
    if draw_density is not None:  # last, so that nothing waits for the side process
        draw_density()


def run_spec(values: Mapping[str, Any]) -> RunSpec | str:
    """The run that was put together, or what is wrong with it, without paths."""
    try:
        spec = RunSpec(**values)
        planning.plan(spec)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        return f"{first['loc'][0]}: {first['msg']}."
    except TfbdlError as error:
        return without_paths(error)
    return spec


def fitting_engines(model: ModelSpec, engines: Mapping[str, EngineSpec]) -> list[str]:
    """The engines that can fit a model, its default one first."""
    names = [name for name, engine in engines.items() if engine.fits(model.capabilities)]
    return sorted(names, key=lambda name: (name != model.default_engine, name))


def models_of(task: str, models: Mapping[str, ModelSpec]) -> list[str]:
    """The models for a task; one that is ``supervised`` is for numbers and for classes."""
    if task == ANY:
        return list(models)
    both = task in ("regression", "classification")
    return [n for n, m in models.items() if m.task == task or (both and m.task == "supervised")]


def tasks_of(models: Mapping[str, ModelSpec]) -> list[str]:
    """The tasks that there are models for, those that everybody knows first."""
    held = {model.task for model in models.values()}
    if "supervised" in held:
        held |= {"regression", "classification"}
    order = [*_TASKS, *sorted(held - set(_TASKS) - {"supervised"})]
    return [task for task in order if task in held]


def _preset() -> Preset:
    """The run that the address names to be started again; one that is chosen is offered."""
    asked = st.query_params.get(state.AGAIN)
    if asked is None:
        chosen = state.chosen_run()
        if chosen is not None:
            name = chosen.path.name
            if st.button(f"Begin with the choices of {escaped(name)}", icon=":material/replay:"):
                st.query_params[state.AGAIN] = name
                st.rerun()
        return Preset("new")
    folder = run_index.find(state.runs_root(), asked)
    try:
        spec = folder.read_spec() if folder is not None else None
    except TfbdlError:
        spec = None
    if spec is None:
        st.warning("The run to start again is not there, or cannot be read.")
    elif spec.model not in registry.registry().models:
        st.warning("The run to start again has a model that no installed plugin provides.")
    else:
        st.text(f"The choices of the run {asked} are shown. Starting makes a new run.")
        if st.button("Begin anew", icon=":material/restart_alt:"):
            del st.query_params[state.AGAIN]
            st.rerun()
        return Preset(f"again:{asked}", spec)
    return Preset("new")


def _model(preset: Preset, models: Mapping[str, ModelSpec]) -> ModelSpec:
    task = st.segmented_control(
        "Task",
        [ANY, *tasks_of(models)],
        default=ANY,
        required=True,
        format_func=lambda name: _TASKS.get(name, escaped(name.capitalize())),
        key=f"{preset.key}:task",
        persist_state="session",
    )
    names = models_of(task, models)

    def most_admitting(names: Sequence[str]) -> str:
        """The model to begin with: the one that most engines can fit."""
        engines = registry.registry().engines
        return max(names, key=lambda name: len(fitting_engines(models[name], engines)))

    last = st.session_state.get(f"{preset.key}:last", preset.spec.model if preset.spec else None)
    name = st.selectbox(
        "Model",
        names,
        names.index(last if last in names else most_admitting(names)),
        format_func=lambda name: f"{name} · {models[name].summary}",
        key=f"{preset.key}:model:{task}",
        persist_state="session",
    )
    st.session_state[f"{preset.key}:last"] = name
    model = models[name]
    _about(model)
    return model


def _engine(
    preset: Preset, same: RunSpec | None, model: ModelSpec
) -> tuple[str | None, dict[str, Any]]:
    engines = registry.registry().engines
    names = fitting_engines(model, engines)
    if not names:
        st.warning("No installed engine can fit this model.")
        return None, {}
    given = (same.engine or model.default_engine) if same else None
    name = _by_name(
        "Engine", names, engines, model.default_engine, given, f"{preset.key}:engine:{model.name}"
    )
    _about(engines[name])
    options = options_form(
        engines[name].config, f"{preset.key}:engine:{name}", _given(same, "engine", name, given)
    )
    return name, options


def _prior(
    preset: Preset, same: RunSpec | None, model: ModelSpec
) -> tuple[str | None, dict[str, Any], Callable[[], None] | None]:
    """The prior and its options, and what draws its density below them, if that is wanted."""
    if model.default_prior is None:
        st.text("This model takes no prior by name; what it assumes is among its options.")
        return None, {}, None
    priors = registry.registry().priors
    names = sorted(priors, key=lambda name: (name != model.default_prior, name))
    given = (same.prior or model.default_prior) if same else None
    name = _by_name(
        "Prior", names, priors, model.default_prior, given, f"{preset.key}:prior:{model.name}"
    )
    _about(priors[name])
    key = f"{preset.key}:prior:{name}"
    options = options_form(priors[name].config, key, _given(same, "prior", name, given))
    wanted = st.toggle(
        "Show its density",
        side.state() == "ready",
        key=f"{key}:density",
        help="Starts the side process. On by itself where that runs already.",
    )
    slot = st.container()
    known = not option_errors(priors[name].config, options)

    def draw() -> None:
        with slot:
            _density(name, options)

    chosen = None if name == model.default_prior else name
    return chosen, options, draw if wanted and known else None


def _density(prior: str, options: Mapping[str, Any]) -> None:
    """The density of one element, and the standard normal beside it."""
    found = side.computed("prior_density", prior=prior, options=dict(options))
    if found is None:
        return
    x = np.asarray(found["x"], np.float64)
    normal = np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi)
    chart = charts.lines(
        {prior: (x, found["density"]), STANDARD_NORMAL: (x, normal)},
        x_title="value of one element",
        y_title="density",
        known={prior: charts.PRIOR, STANDARD_NORMAL: charts.REFERENCE},
        dashed=[STANDARD_NORMAL],
        zero=True,
    )
    st.altair_chart(chart)
    if note := str(found.get("note", "")):
        st.text(note)


def _by_name(
    label: str,
    names: Sequence[str],
    catalog: Mapping[str, Spec],
    default: str | None,
    given: str | None,
    key: str,
) -> str:
    def text(name: str) -> str:
        return f"{name}{' (default)' if name == default else ''} · {catalog[name].summary}"

    index = names.index(given) if given in names else 0
    chosen: str = st.selectbox(
        label,
        names,
        index,
        format_func=text,
        key=key,
        label_visibility="collapsed",
        persist_state="session",
    )
    return chosen


def _about(spec: Spec) -> None:
    """What it says of itself, as small text."""
    task = f"Task: {spec.task}. " if isinstance(spec, ModelSpec) else ""
    references = "; ".join(spec.references)
    if task or references:
        st.caption(escaped(f"{task}{references}"))


def _given(
    same: RunSpec | None, group: str, name: str, given: str | None = None
) -> Mapping[str, Any] | None:
    """The options of a preset, if they belong to what is chosen."""
    if same is None or (given is not None and given != name):
        return None
    options: Mapping[str, Any] = getattr(same, f"{group}_options")
    return options


def _summary(values: Mapping[str, Any], data: DataChoice) -> None:
    spec = run_spec(values)
    problem = data.problem or (spec if isinstance(spec, str) else "")
    with st.container(border=True):
        st.subheader("This run")
        st.text(_lines(values, data.label))
        if problem:
            say = st.info if data.data is None else st.error
            say(escaped(problem))
        started = st.button(
            "Start",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(problem),
            width="stretch",
        )
    if isinstance(spec, str) or problem:
        return
    line, python = st.tabs(["Command line", "Python"])
    line.code(commands.command_line(spec, BESIDE), language="bash", wrap_lines=True)
    python.code(commands.python_text(spec), language="python", wrap_lines=True)
    if started:
        try:
            run_id = jobs.start(state.runs_root(), spec)
        except TfbdlError as error:
            st.error(escaped(without_paths(error)))
        else:
            state.open_run(run_id, page="live")


def _lines(values: Mapping[str, Any], data: str) -> str:
    default = registry.registry().models[values["model"]].default_prior
    shown = {
        "Model": values["model"],
        "Data": data or "not chosen",
        "Engine": values["engine"] or "none",
        "Prior": values["prior"] or default or "none by name",
        "Seed": values["seed"],
    }
    return "\n".join(f"{name}: {value}" for name, value in shown.items())
