"""Panels whose pictures are clicked, in a real browser, beside the process that computes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import browsing
import pytest
from browsing import Visit
from dashboard_process import Dashboard, serving
from tfbdl_nngp.panel import CURVE, REACH, TOP

from tfbdl.pictures import COLOURS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NEAR = 6.0  # pixels: half of the way between two places that can be told apart, and a bit
POINT = COLOURS[3].lower()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing.browser() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with serving(tmp_path_factory.mktemp("runs")) as found:
        yield found


@pytest.fixture
def tab(browser: Any, server: Dashboard) -> Iterator[Visit]:
    """The page of demonstrations, in which nothing may go wrong."""
    found = browsing.visit(browser, server)
    found.open("/demonstrations", timeout=120.0)
    yield found
    found.close()
    assert not found.problems
    assert not found.outside


def figures(tab: Visit) -> dict[str, str]:
    """The metrics of a page by their labels."""
    shown = tab.page.get_by_test_id("stMetric").all()
    return {
        metric.get_by_test_id("stMetricLabel").inner_text(): metric.get_by_test_id(
            "stMetricValue"
        ).inner_text()
        for metric in shown
    }


def click(tab: Visit, across: float, up: float) -> tuple[float, float]:
    """Click into the plot of the first chart, at shares of its width and height."""
    plot = tab.page.get_by_test_id("stVegaLiteChart").first.locator("svg path.background").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    place = box["x"] + across * box["width"], box["y"] + (1.0 - up) * box["height"]
    before = tab.pictures()
    tab.page.mouse.click(*place)
    tab.seconds_until(lambda: tab.pictures() != before)
    tab.settle()
    return place


def points(tab: Visit) -> list[tuple[float, float]]:
    """Where the points of the first chart are drawn, in pixels."""
    chart = tab.page.get_by_test_id("stVegaLiteChart").first
    marks = chart.locator(f"svg path[fill='{POINT}' i]").all()
    boxes = [mark.bounding_box() for mark in marks]
    return [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]


def test_click_adds_a_point_where_it_is_and_another_takes_it_away(tab: Visit) -> None:
    tab.pick("Wide network")
    tab.wait_for_charts(2)
    first = figures(tab)
    assert first["Points seen"] == str(len(points(tab))) == "3"

    at = click(tab, 0.15, 0.7)
    assert figures(tab)["Points seen"] == "4"
    assert float(figures(tab)["Mean sd of the function"]) < float(first["Mean sd of the function"])
    assert figures(tab)["Log evidence"] != first["Log evidence"]
    assert min(abs(x - at[0]) + abs(y - at[1]) for x, y in points(tab)) < NEAR

    click(tab, 0.15, 0.7)
    assert figures(tab) == first
    click(tab, 0.15, 0.7)  # the same place once more is a click too
    assert figures(tab)["Points seen"] == "4"

    tab.slide("depth")  # points stay when the network changes
    tab.settle()
    assert figures(tab)["Points seen"] == "4"
    x, y = CURVE[0]
    click(tab, (x + REACH) / (2.0 * REACH), (y + TOP) / (2.0 * TOP))
    assert figures(tab)["Points seen"] == "3"
    tab.press("Clear")
    assert figures(tab)["Points seen"] == "0"
    assert points(tab) == []


def test_click_into_the_diagram_moves_the_sliders(tab: Visit) -> None:
    tab.pick("Depth of networks")
    tab.wait_for_charts(4)
    assert figures(tab)["Phase"] == "order"
    click(tab, 0.9, 0.5)
    assert figures(tab)["Phase"] == "chaos"

    def value(label: str) -> float:
        slider = tab.page.get_by_test_id("stSlider").filter(has_text=label).get_by_role("slider")
        return float(slider.first.input_value())

    # to the nearest place that can be told apart
    assert value("weight_variance") == pytest.approx(0.1 + 0.9 * 4.9, abs=0.05)
    assert value("bias_variance") == pytest.approx(0.5, abs=0.02)
    tab.slide("weight_variance", "ArrowLeft")
    tab.settle()
    assert value("weight_variance") < 4.55
