"""The page of a run's predictions: both uncertainties apart, and whether they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from tfbdl import pictures, registry
from tfbdl.errors import RunError
from tfbdl.metric_names import meaning
from tfbdl.runs import RESULT
from tfbdl.specs import ModelSpec
from tfbdl_dashboard import charts, predictive_charts, predictive_tables, side, state
from tfbdl_dashboard import slide_view as slide
from tfbdl_dashboard.plain_text import escaped

HEADLINES = ("nll", "rmse", "error", "crps", "ece", "coverage_90", "epistemic_share")
MOST_IMAGES = 10
Answer = Mapping[str, np.ndarray]


def show() -> None:
    """Draw the page."""
    st.title("Predictions")
    folder = state.run_or_hint()
    if folder is None:
        return
    run = folder.path.name
    st.text(f"Run {run}")
    try:
        spec, record, result = folder.read_spec(), folder.read_record(), folder.read_result()
    except RunError as error:
        state.show_unreadable(error)
        return
    if not (folder.path / RESULT).is_file():
        st.info("This run has no result yet. The page Live shows how far it is.")
        return
    show_headlines(result)
    if describes_rows(spec.model, record):
        show_of_rows(result)
        return
    answer = side.computed("predictions", run)
    if answer is None:
        st.info("What the run says otherwise stands on its pages Posterior and Panels.")
        return
    info = record.get("data_info") or {}
    st.text(rows_text(answer))
    {"numbers": show_numbers, "classes": show_classes}[str(answer["kind"])](answer)
    slide.draw(run, answer, info)
    show_uncertain(answer, info)
    st.download_button(
        "Download all rows as CSV",
        predictive_tables.all_rows(answer).to_csv(index=False).encode(),
        file_name=f"{run}-predictions.csv",
        mime="text/csv",
        on_click="ignore",
    )


def describes_rows(model: str | None, record: Mapping[str, Any]) -> bool:
    """Whether the run's model is one of rows without targets, as far as names can tell."""
    models = registry.registry().models
    name = model or (record.get("rebuilt_as") or {}).get("model")
    spec: ModelSpec | None = models.get(name) if name is not None else None
    return spec is not None and spec.task == "unsupervised"


def rows_text(answer: Answer) -> str:
    """Which rows were predicted."""
    index = answer["index"]
    spaced = ", evenly spaced among all" if len(index) and index[-1] >= len(index) else ""
    return f"{len(index):,} {answer['rows']}{spaced}."


def show_headlines(result: Mapping[str, float]) -> None:
    """The run's own figures."""
    named = {name: name for name in HEADLINES if name in result}
    named |= {f"train_{name}": name for name in HEADLINES if f"train_{name}" in result}
    if not named:
        return
    columns = st.columns(len(named))
    for column, name in zip(columns, named, strict=True):
        column.metric(name.replace("_", " "), f"{result[name]:.4g}", help=meaning(name) or None)


def show_of_rows(result: Mapping[str, float]) -> None:
    """What a model of rows without targets says of rows that it has not seen."""
    st.info(
        "This model describes the rows themselves and predicts no target. What it makes of them "
        "stands on the page Panels."
    )
    held_out = {name: value for name, value in result.items() if name.startswith("test_")}
    if held_out:
        st.subheader("Rows it has not seen")
    for name, value in held_out.items():
        st.text(f"{name}: {value:,.5g}. {meaning(name)}")


def show_numbers(answer: Answer) -> None:
    """Predictions of targets that are numbers."""
    names = [str(name) for name in answer["target"]]
    target = 0
    if len(names) > 1:
        target = st.selectbox("Target", range(len(names)), format_func=names.__getitem__)
    name = names[target]
    noise, unknown = answer["aleatoric"][:, target], answer["epistemic"][:, target]
    left, right = st.columns(2)
    level = int(np.argmin(np.abs(answer["level"] - 0.9)))
    left.subheader("Predicted against observed")
    left.altair_chart(predictive_charts.observed(answer, target, level, name))
    left.caption(
        "Thin bars: the 90 % interval, noise and ignorance together. Thick bars: the epistemic "
        "standard deviation of the mean alone."
    )
    right.subheader("What the variance is made of")
    right.altair_chart(predictive_charts.parts(noise, unknown, f"variance of {name}", height=360))
    right.caption(share_text(noise, unknown, "variance"))
    left, right = st.columns(2)
    left.subheader("Reliability")
    left.altair_chart(
        predictive_charts.reliability(
            answer["expected"],
            answer["observed"][:, target],
            answer["observed_low"][:, target],
            answer["observed_high"][:, target],
            x_title="predicted quantile",
            y_title="share of observations below it",
        )
    )
    left.caption("On the diagonal quantiles are what they state. Band: 90 %, noise of counting.")
    right.subheader("Where observations fall")
    pit = answer["pit"][:, target]
    bins = int(np.clip(np.sqrt(len(pit)), 5, 20))
    right.altair_chart(
        charts.histogram(
            pit,
            x_title="predictive cdf at the observation",
            bins=bins,
            limits=(0.0, 1.0),
            level=len(pit) / bins,
            height=320,
        )
    )
    right.caption(
        "Level if calibrated; a hill says that intervals are too wide, a bowl that they are too "
        "narrow, a slope that the mean is off."
    )
    show_coverage(predictive_charts.coverage_table(answer, target))


def show_classes(answer: Answer) -> None:
    """Predictions of targets that are classes."""
    left, right = st.columns(2)
    left.subheader("Reliability")
    left.altair_chart(
        predictive_charts.reliability(
            answer["confidence"],
            answer["accuracy"],
            answer["accuracy_low"],
            answer["accuracy_high"],
            x_title="confidence: probability of the predicted class",
            y_title="share that is right",
            counts=answer["count"],
        )
    )
    left.caption(
        f"Expected calibration error {float(answer['ece']):.3f}. Points as large as the "
        "predictions in them are many; bars: 90 %, noise of counting."
    )
    right.subheader("Both uncertainties")
    right.altair_chart(predictive_charts.confusion_scatter(answer))
    right.caption(
        "To the right: classes that look alike. Above: rows unlike those of training, where draws "
        "of the posterior contradict one another."
    )
    st.subheader("What the entropy is made of")
    st.altair_chart(
        predictive_charts.parts(answer["aleatoric"], answer["epistemic"], "entropy (nats)")
    )
    st.caption(share_text(answer["aleatoric"], answer["epistemic"], "entropy"))
    show_coverage(predictive_charts.coverage_table(answer))


def share_text(aleatoric: np.ndarray, epistemic: np.ndarray, of: str) -> str:
    """How much of the uncertainty more data would take away, in a sentence."""
    total = float(np.sum(aleatoric) + np.sum(epistemic))
    if not np.isfinite(total):
        return f"The {of} of some rows is infinite, so it cannot be shared out."
    share = float(np.sum(epistemic)) / total if total > 0 else 0.0
    return f"{share:.1%} of the {of} is epistemic: more data would take it away."


def show_coverage(table: Any) -> None:
    """Nominal against found coverage."""
    st.subheader("Coverage")
    if "classes" in table:
        st.caption(
            "The smallest sets of classes that hold a level of the probability: they should hold "
            "the true class at least as often. Band: 90 %, noise of counting."
        )
    else:
        st.caption("Central intervals. Band: 90 %, noise of counting.")
    st.caption(f"By chance one of the {len(table)} levels may lie outside its band.")
    percent = st.column_config.NumberColumn(format="percent")
    numbers = dict.fromkeys(("nominal", "found", "band from", "band to"), percent)
    others = {
        "mean width": st.column_config.NumberColumn(format="%.4g"),
        "classes": st.column_config.NumberColumn(format="%.2f", help="Mean size of a set."),
    }
    st.dataframe(table, hide_index=True, column_config=numbers | others)


def show_uncertain(answer: Answer, info: Mapping[str, Any]) -> None:
    """The rows of which the run is least sure; images as images."""
    st.subheader("The most uncertain rows")
    shape = info.get("x_shape")
    named = info.get("feature_names")
    shape = pictures.image_shape(shape, named) if isinstance(shape, list) else None
    inputs = answer.get("uncertain_x")
    if shape is not None and inputs is not None and len(inputs):
        rows = answer["uncertain"][:MOST_IMAGES]
        frames = np.reshape(inputs, (-1, *shape))
        low, high = float(np.nanmin(frames)), float(np.nanmax(frames))  # one scale for all
        texts = [f"row {answer['index'][i]}" for i in rows]
        if str(answer["kind"]) == "classes" and len(answer["label"]) == len(answer["index"]):
            texts = predictive_tables.captions(answer, rows)
        with st.container(horizontal=True):
            for frame, text in zip(frames[: len(rows)], texts, strict=True):
                picture = pictures.image_grid(frame[np.newaxis], 1, low, high, side=96)
                st.image(picture, caption=escaped(text), width=110)
    st.dataframe(predictive_tables.uncertain_rows(answer, shape is None), hide_index=True)
