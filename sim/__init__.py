"""thinbook: an agent-based simulator of market cascades in one thin limit order book."""

DEFAULT_SEED = 7
"""The seed of `thinbook run` and of the page where none is chosen. It shows what the scenario is about: its 20 November
is near the real one. Other seeds have other days, and nearly half of them no crash."""
