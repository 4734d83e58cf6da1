"""Labels of the elements of a posterior: ``scale``, or ``dense.kernel[0, 1]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import SupportsInt

from .errors import OptionsError, did_you_mean

_NUMBER = r"\s*\d{1,18}\s*"
_LABEL = re.compile(rf"(?P<site>.+?)(?:\[(?P<index>{_NUMBER}(?:,{_NUMBER})*)\])?", re.ASCII)


def label_of(site: str, index: Sequence[SupportsInt]) -> str:
    """``"scale"`` without an index, else ``"dense.kernel[0, 1]"``."""
    return f"{site}[{', '.join(str(int(i)) for i in index)}]" if len(index) else site


def element_of(label: str, shapes: Mapping[str, Sequence[int]]) -> tuple[str, tuple[int, ...]]:
    """The site and the index of an element.

    Args:
        label: As ``label_of`` gives it; spaces do not matter.
        shapes: Site name -> shape of one draw.

    Raises:
        OptionsError: If there is no such site, or no such element in it.
    """
    label = label.strip()
    match = _LABEL.fullmatch(label)
    site, inside = (match["site"], match["index"]) if match else (label, None)
    index = tuple(int(i) for i in inside.split(",")) if inside else ()
    before, bracket, _ = label.partition("[")
    is_index = site in shapes or not bracket or before not in shapes
    if not is_index:
        site = before  # and what stands in the brackets is anything
    if site not in shapes:
        raise OptionsError(
            f"The posterior has no site {site!r}.{did_you_mean(site, shapes)} "
            f"Known: {', '.join(shapes)}."
        )
    shape = tuple(shapes[site])
    fits = len(index) == len(shape) and all(i < n for i, n in zip(index, shape, strict=True))
    if not (is_index and fits):
        raise OptionsError(
            f"The site {site!r} has the shape {list(shape)}. Expected an index for each of its "
            f"axes, from 0. Received: {label!r}."
        )
    return site, index
