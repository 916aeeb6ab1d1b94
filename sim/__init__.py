"""thinbook: an agent-based simulator of market cascades in one thin limit order book."""

DEFAULT_SEED = 10
"""The seed of a run and of both pages where none is chosen. It shows what `nov20` is about: its 20 November is near
the real one. Other seeds have other days, and three in ten of them no crash."""
