"""The colours of all that is drawn, and one colour and one name for every group of agents wherever it is shown.

The hues are those of Okabe and Ito, "Color Universal Design" (2008), which readers with the common colour blindnesses
can tell apart; they hold on white and on black. The groups that make the market rather than move it are greys.
"""

from typing import Final

BLUE, VERMILION, ORANGE, GREEN, PURPLE, SKY = HUES = (
    "#0072b2",
    "#d55e00",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
)
GREY: Final = "#7f7f7f"
"""What stands back, on white and on black."""
GROUP_COLOURS: Final = {
    "dealers": VERMILION,
    "ctas": BLUE,
    "etfs": ORANGE,
    "hedgers": PURPLE,
    "stops": SKY,
    "value": GREEN,
    "rebalancers": "#b3a100",
    "makers": GREY,
    "latent": "#a6a6a6",
    "noise": "#c4c4c4",
    "auction": "#7a68c8",
    "halt": "#a0703c",
}
"""Hexadecimal colour by group, `auction` and `halt` being causes of moves that no group has."""
DEPTH_COLOUR: Final = "#2f7fb0"
"""Of what waits in the book, more of it the less it lets through: as far from white as from black."""
OTHER_COLOUR: Final = "#8c6d9c"
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
