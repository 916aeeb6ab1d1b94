"""The colours of all that is drawn, and one colour and one name for every group of agents wherever it is shown.

The hues are near those of Okabe and Ito, "Color Universal Design" (2008), which readers with the common colour
blindnesses can tell apart, in shades that stand out from white and from the dark page, three to one at least (WCAG 2.1,
1.4.11). The groups that make the market rather than move it are greys.
"""

from typing import Final

BLUE, VERMILION, ORANGE, GREEN, PURPLE, SKY = (
    "#0072b2",
    "#d03010",
    "#cc7a00",
    "#00a064",
    "#d264b0",
    "#2c94d8",
)
GREY: Final = "#7f7f7f"
"""What stands back, on white and on black."""
SOFT: Final = "#5c6068"
"""What stands back behind the ink of a light page, and causes of moves that are nobody's; a dark page has its own."""
GROUP_COLOURS: Final = {
    "dealers": VERMILION,
    "ctas": BLUE,
    "etfs": ORANGE,
    "hedgers": PURPLE,
    "stops": SKY,
    "value": GREEN,
    "rebalancers": "#667300",
    "makers": "#6c6c6c",
    "latent": "#6c839b",
    "noise": "#948c86",
    "auction": "#7969f0",
    "halt": "#9b634a",
    "news": SOFT,
    "open": SOFT,
}
"""Hexadecimal colour by group; `auction`, `halt`, `news` and `open` are causes of moves that no group has."""
DEPTH_COLOUR: Final = "#2f7fb0"
"""Of what waits in the book, more of it the less it lets through: as far from white as from black."""
OTHER_COLOUR: Final = "#994f9c"
"""Of groups that a user has added."""
GROUP_NAMES: Final = {
    "dealers": "dealers",
    "ctas": "trend followers",
    "etfs": "ETF traders",
    "hedgers": "put buyers",
    "stops": "stop-loss holders",
    "value": "value traders",
    "rebalancers": "rebalancers",
    "makers": "market makers",
    "latent": "latent orders",
    "noise": "noise traders",
    "auction": "opening auction",
    "halt": "end of a halt",
    "open": "the clock at the open",
}
"""What the groups, and causes that no group has, are called in a sentence."""


def colour_of(group: str) -> str:
    """Colour of a group of agents."""
    return GROUP_COLOURS.get(group, OTHER_COLOUR)


def name_of(group: str) -> str:
    """Name of a group in a sentence; that of a group that a user has added is its own."""
    return GROUP_NAMES.get(group, group)


def trader_name(name: str, group: str) -> str:
    """A trader in a sentence: "ETF traders [21]"; a crowd that is not called as its group keeps its name."""
    crowd, bracket, index = name.partition("[")
    return f"{name_of(group) if crowd == group else crowd.replace('_', ' ')} {bracket}{index}".strip()
