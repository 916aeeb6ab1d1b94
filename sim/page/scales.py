"""One scale for the same chart of several worlds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sim.page.charts import Option


def share_scales(options: Sequence[Option]) -> None:
    """Give the same chart of several worlds the same scale, in place: of values, and of colours."""
    for axis, place in (("xAxis", 0), ("yAxis", 1)):
        if all(option[axis].get("type") == "value" and "min" not in option[axis] for option in options):
            ends = [value for option in options for value in _extent(option, place)]
            step = 10.0 ** math.floor(math.log10(max(max(ends) - min(ends), 1e-9)))
            low, high = step * math.floor(min(ends) / step), step * math.ceil(max(ends) / step)
            for option in options:
                option[axis] |= {"min": low, "max": high}
    if all("visualMap" in option for option in options):
        most = max(options, key=lambda option: option["visualMap"]["max"])["visualMap"]
        for option in options:
            option["visualMap"] |= {"max": most["max"], "text": most["text"]}


def _extent(option: Option, place: int) -> Iterator[float]:
    """Least and largest value of a chart, x (0) or y (1); bars of one place are stacked, and begin at 0."""
    stacks: Counter[tuple[Any, bool]] = Counter()
    for series in option["series"]:
        is_bar = series["type"] == "bar"
        for number, datum in enumerate(series["data"]):
            pair = datum if isinstance(datum, list | tuple) else (datum, datum)
            if is_bar:
                stacks[pair[1 - place] if pair is datum else number, (pair[place] or 0) > 0] += pair[place] or 0
            else:
                yield pair[place]
    yield from stacks.values()
    if stacks or not any(series["data"] for series in option["series"]):
        yield 0.0
