"""The check of a panel: what it computes of a small fit, and that its page draws it."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import registry
from ..api import load, plan
from ..config import Config, OptionField, fields_of, make
from ..data import Dataset
from ..errors import OptionsError, TfbdlError
from ..fitted import Fit
from ..protocols import Context, EngineResult
from ..run import build_model
from ..serving.panels import compute
from ..serving.tasks import to_npz
from ..specs import PanelSpec, RunSpec
from .contributions import example
from .data import data_for
from .engines import suitable
from .expect import require
from .quick import engine_of, quick_options, run_engine
from .steps import without_xla

SECONDS = 120.0
"""For the process that draws."""

MOST_CHOICES = 4
"""Computations for choices and switches beyond their defaults."""

Answer = tuple[dict[str, Any], dict[str, np.ndarray]]
"""Controls that are not at their defaults, and what a panel computes at them."""

# In a process of its own: here TensorFlow is loaded, and the page must do without.
_DRAW = """
import json
import sys
from collections.abc import Mapping
from streamlit.testing.v1 import AppTest
from tfbdl.arrays import to_plain

PAGE = '''
import numpy as np
import streamlit as st
from tfbdl.registry import resolve
with np.load({path!r}, allow_pickle=False) as stored:
    arrays = {{name: stored[name] for name in stored.files}}
st.session_state["returned"] = resolve({show!r})(st, arrays)
'''
found = []
for path in sys.argv[2:]:
    page = PAGE.format(path=path, show=sys.argv[1])
    drawn = AppTest.from_string(page, default_timeout=60).run()
    if drawn.exception:
        first = drawn.exception[0]
        sys.exit(f"show raises {first.message}\\n" + "\\n".join(first.stack_trace))
    if drawn.error:
        sys.exit(f"show draws an error: {drawn.error[0].value}")
    if not len(drawn.main.children):
        sys.exit("show draws nothing.")
    returned = drawn.session_state["returned"]
    if returned is not None and not isinstance(returned, Mapping):
        sys.exit(
            f"show returns a {type(returned).__name__}. Expected: None, or a mapping from names "
            "of controls to values."
        )
    found.append(to_plain(dict(returned or {})))
heavy = sorted({"tensorflow", "keras", "tensorflow_probability"} & set(sys.modules))
if heavy:
    sys.exit(f"show imports {', '.join(heavy)}, which a page must do without.")
print(json.dumps(found, default=repr))
"""


def check_panel(name: str, fits: list[Any] | None = None) -> str | None:
    """A panel computes arrays of a small fit, and draws them without TensorFlow.

    ``compute`` gives a mapping of arrays of numbers, booleans or texts at the default controls,
    none of several numbers that are all NaN; of the first fit also at the least and the greatest
    values that the bounds of its controls admit, and at the other values of its choices and
    switches. It may refuse some of these with an error of ``tfbdl.errors``, but not all. ``show``
    draws each answer without an exception and without ``st.error``, and sets no control while
    nobody uses its picture.

    Args:
        name: Of the panel.
        fits: What it is to show; by default short fits of each of its models by the default
            engine; of a panel of engines, of a small model by the first. A demonstration takes
            none.

    Returns:
        What could not be checked here, and why; None if all was.

    Raises:
        AssertionError: If one of these does not hold.
        TfbdlError: If the panel refuses a fit at its default controls.
    """
    spec = registry.registry().panels[name]
    who = f"Panel {name!r}"
    answers: list[Answer] = []
    for number, shown in enumerate(_fits(spec) if fits is None else fits):
        needed = _needed(spec.controls)
        answers.append((needed, compute(spec, shown, make(spec.controls, needed, who))))
        _require_numbers(who, answers[-1][1])
        if number == 0:
            answers += _not_refused(spec, shown, at_bounds(spec.controls))
            answers += _not_refused(spec, shown, at_choices(spec.controls))
    require(all(arrays for _, arrays in answers), f"{who}: compute gives no array.")
    if importlib.util.find_spec("streamlit") is None:
        return "show: Streamlit is not installed (pip install 'tfbdl[dashboard]')."
    _check_drawn(who, spec, answers)
    return None


def at_bounds(controls: type[Config]) -> Iterator[dict[str, Any]]:
    """All bounded numbers at their least admitted value, then all at their greatest."""
    for end in ("low", "high"):
        values = {f.name: _end(f, end) for f in fields_of(controls)}
        values = {name: value for name, value in values.items() if value is not None}
        if values:
            yield {**_needed(controls), **values}


def at_choices(controls: type[Config]) -> Iterator[dict[str, Any]]:
    """All choices and switches at a value that is not their default, until each had its turn."""
    others = {field.name: _others(field) for field in fields_of(controls)}
    others = {name: values for name, values in others.items() if values}
    for turn in range(min(MOST_CHOICES, max(map(len, others.values()), default=0))):
        chosen = {name: values[turn % len(values)] for name, values in others.items()}
        yield {**_needed(controls), **chosen}


def _others(field: OptionField) -> list[Any]:
    """The values of a choice or a switch that are not its default."""
    default = example(field) if field.required else field.default
    admitted = {"choice": field.choices, "bool": (True, False)}.get(field.kind, ())
    return [value for value in admitted if value != default]


def _not_refused(spec: PanelSpec, shown: Any, tried: Iterable[dict[str, Any]]) -> list[Answer]:
    """What a panel computes at some controls, without what it refuses; AssertionError if all."""
    who, answers, refused = f"Panel {spec.name!r}", [], []
    for controls in tried:
        try:
            answers.append((controls, compute(spec, shown, make(spec.controls, controls, who))))
        except TfbdlError as error:  # such as a row that so few data do not have
            refused.append(f"{controls}: {error}")
    require(answers or not refused, f"{who}: compute refuses each of\n" + "\n".join(refused))
    return answers


def _require_numbers(who: str, answer: dict[str, np.ndarray]) -> None:
    """Raise AssertionError if an array of several numbers holds none."""
    for name, array in answer.items():
        several = array.dtype.kind == "f" and array.size > 1
        require(not several or not np.isnan(array).all(), f"{who}: {name} holds NaN alone.")


def _needed(controls: type[Config]) -> dict[str, Any]:
    return {field.name: example(field) for field in fields_of(controls) if field.required}


def _end(field: OptionField, end: str) -> Any:
    """The number of an option next to one of its bounds, and inside it; None without one."""
    bound, is_open = getattr(field, end), getattr(field, f"{end}_open")
    if bound is None or field.kind not in ("int", "float"):
        return None
    towards = 1 if end == "low" else -1
    if field.kind == "int":
        return int(bound) + (towards if is_open else 0)
    return float(np.nextafter(bound, towards * np.inf)) if is_open else float(bound)


def _fits(spec: PanelSpec) -> Iterator[Fit | None]:
    known = registry.registry()
    if spec.is_demonstration:
        yield None
    for model in spec.models:
        yield _small_fit(model, known.models[model].default_engine)
    if spec.engines and not spec.models:
        yield _engines_fit(spec.engines[0])


@functools.lru_cache(maxsize=32)
def _small_fit(model: str, engine: str) -> Fit:
    """A short run, stored and read again as the side process reads it; its data are known."""
    known = registry.registry()
    data = data_for(known.models[model])[0]
    options = quick_options(known.engines[engine])
    chosen = plan(model, None, engine=engine, engine_options=options, seed=5)
    made = without_xla(build_model(chosen, data.info))
    result = run_engine(chosen, made, data, Context(seed=5))
    short = _as_fit(made, result, chosen.run, data)
    with tempfile.TemporaryDirectory() as folder:
        short.save(Path(folder) / "run")
        found: Fit = load(Path(folder) / "run")
    without_xla(found.model)
    found.given = (None, data)
    return found


@functools.lru_cache(maxsize=8)
def _engines_fit(name: str) -> Fit:
    """A short run of an engine on the small model of its own check, as of an object."""
    spec = registry.registry().engines[name]
    make_model, data = suitable(spec)
    model = make_model(5)
    result = engine_of(spec).fit(model, data, Context(seed=5))
    found = _as_fit(model, result, RunSpec(model=None, engine=name, seed=5), data)
    found.given = (model, data)
    return found


def _as_fit(model: Any, result: EngineResult, run: RunSpec, data: Dataset | None) -> Fit:
    return Fit(
        model=model,
        posterior=result.posterior,
        history=result.history,
        metrics=result.metrics,
        spec=run,
        info=None if data is None else data.info,
    )


def _check_drawn(who: str, spec: PanelSpec, answers: list[Answer]) -> None:
    """Raise AssertionError unless ``show`` draws each of the answers, and sets nothing thereby."""
    show = spec.show
    address = show if isinstance(show, str) else f"{show.__module__}:{show.__qualname__}"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.npz" for number in range(len(answers))]
        for path, (_, arrays) in zip(paths, answers, strict=True):
            path.write_bytes(to_npz(arrays))
        try:
            done = subprocess.run(
                [sys.executable, "-c", _DRAW, address, *map(str, paths)],
                env=variables,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{who}: show does not end within {SECONDS:g} seconds.") from None
    require(done.returncode == 0, f"{who}: {done.stderr.strip()}")
    returned = json.loads(done.stdout.splitlines()[-1])
    for (controls, _), values in zip(answers, returned, strict=True):
        _require_settled(who, spec, controls, values)


def _require_settled(
    who: str, spec: PanelSpec, controls: dict[str, Any], returned: dict[str, Any]
) -> None:
    """Raise AssertionError if a picture that nobody used sets a control."""
    try:
        after = spec.controls_after(controls, returned)
    except OptionsError as error:
        raise AssertionError(f"{who}: show returns what is not admitted. {error}") from None
    before = spec.controls_after(controls, None)
    changed = sorted(name for name in after if after[name] != before[name])
    require(
        not changed,
        f"{who}: show sets {', '.join(changed)} while nobody uses its picture. Expected: None, "
        "but for once after each click.",
    )
