"""The palette: every group has a colour of its own that can be seen on every page, and a name."""

import re
from pathlib import Path

import pytest

import sim
from sim.palette import (
    BLUE,
    DEPTH_COLOUR,
    GREEN,
    GREY,
    GROUP_COLOURS,
    ORANGE,
    OTHER_COLOUR,
    PURPLE,
    SKY,
    SOFT,
    VERMILION,
    colour_of,
    trader_name,
)

ROOT = Path(sim.__file__).parent
GROUPS = {group: colour for group, colour in GROUP_COLOURS.items() if colour != SOFT} | {"other": OTHER_COLOUR}
STYLES = "".join((ROOT / sheet).read_text() for sheet in ("report/report.css", "page/app.css"))
BACKGROUNDS = sorted(set(re.findall(r"--(?:paper|ground): (#\w{6})", STYLES)))


def luminance(colour):
    """Relative luminance of WCAG 2.1."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first, second):
    dark, light = sorted(map(luminance, (first, second)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def test_there_are_light_and_dark_backgrounds():
    assert min(map(luminance, BACKGROUNDS)) < 0.02
    assert max(map(luminance, BACKGROUNDS)) == 1


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_colours_stand_out_from_every_background(background):
    """Three to one is what graphics need: WCAG 2.1, success criterion 1.4.11."""
    others = {"depth": DEPTH_COLOUR, "grey": GREY} | {hue: hue for hue in (BLUE, VERMILION, ORANGE, GREEN, PURPLE, SKY)}
    for name, colour in (GROUPS | others).items():
        assert contrast(colour, background) >= 3.0, name


def test_what_stands_back_is_the_quiet_text_of_both_pages():
    assert STYLES.count(f"--soft: {SOFT};") == 2
    assert contrast(SOFT, "#ffffff") >= 4.5


def test_no_two_groups_have_one_colour_and_nothing_else_has_it():
    colours = [*GROUPS.values(), DEPTH_COLOUR, GREY, SOFT]
    assert len(set(colours)) == len(colours)
    assert colour_of("news") == colour_of("open") == SOFT
    assert colour_of("my own") == OTHER_COLOUR


def test_traders_are_called_as_their_group_unless_they_have_a_name():
    assert trader_name("ctas[1]", "ctas") == "trend followers [1]"
    assert trader_name("fast_ctas[1]", "ctas") == "fast ctas [1]"
    assert trader_name("rebalancers", "rebalancers") == "rebalancers"
