"""thinbook: an agent-based simulator of market cascades in one thin limit order book."""
