"""Keyed randomness: a draw is a function of (key, index, which), never the next number of a shared generator.

The hash is splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) of a counter
that starts at the stream's key. All arithmetic is int64 with wrap-around; the unsigned constants stand as negatives.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernel.jit import inline, kernel, silent

GOLDEN = 0x9E3779B97F4A7C15 - 2**64
MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
MIX_2 = 0x94D049BB133111EB - 2**64
DRAWS = 8
"""Draws reserved for one index of a stream."""
LAYERS, TAIL, AREA = 256, 7.69711747013104972, 0.0039496598225815571993
"""Marsaglia and Tsang, "The ziggurat method for generating random variables", J. Stat. Softw. 5(8), 2000, for the
exponential density: layers of equal area under it, and where its tail begins."""


def _edges():
    """Right edge of each layer, from the base, whose width stands for its tail too, up to the top at zero."""
    edges = [AREA * math.exp(TAIL), TAIL]
    while len(edges) < LAYERS:
        edges.append(-math.log(AREA / edges[-1] + math.exp(-edges[-1])))
    return np.array([*edges, 0.0])


EDGES = _edges()


@silent
@inline
def mix(x):
    """splitmix64's finaliser."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * MIX_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * MIX_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


@silent
@inline
def hashed(key, index, which):
    return mix(key + np.int64(index * DRAWS + which + 1) * GOLDEN)


@inline
def fraction(bits):
    """The upper 53 bits as a number in [0, 1)."""
    return ((bits >> 11) & 0x1FFFFFFFFFFFFF) * 1.1102230246251565e-16


@inline
def uniform(key, index, which):
    """Uniform on [0, 1), 53 bits."""
    return fraction(hashed(key, index, which))


@inline
def point(bits):
    """A layer, all as likely, and a point of it."""
    layer = bits & (LAYERS - 1)
    return layer, fraction(bits) * EDGES[layer]


@inline
def exponential(key, index, which):
    """Exponential of mean one: nearly always a point of a layer that lies under the density at any height."""
    bits = hashed(key, index, which)
    layer, x = point(bits)
    return x if x < EDGES[layer + 1] else near_the_edge(bits, layer, x)


@silent
@kernel
def near_the_edge(bits, layer, x):
    """Keep a point whose height is below the density, else draw another; beyond the base all begins anew."""
    beyond = 0.0
    while x >= EDGES[layer + 1]:
        bits = mix(bits + GOLDEN)
        if layer == 0:
            beyond += TAIL
        else:
            low, high = math.exp(-EDGES[layer]), math.exp(-EDGES[layer + 1])
            if low + fraction(bits) * (high - low) < math.exp(-x):
                return beyond + x
            bits = mix(bits + GOLDEN)
        layer, x = point(bits)
    return beyond + x


@inline
def geometric_scale(mean):
    """Mean of the exponential whose whole part, plus one, is geometric on 1, 2, ... of the given mean."""
    return -1.0 / math.log(1.0 - 1.0 / mean) if mean > 1.0 else 0.0


@inline
def geometric(key, index, which, scale):
    """Geometric on 1, 2, ..., by its scale."""
    return 1 + int(scale * exponential(key, index, which))


@inline
def pareto(key, index, which, low, high, alpha):
    """Pareto of tail exponent alpha, truncated to [low, high]."""
    a, z = low**-alpha, high**-alpha
    return (a - uniform(key, index, which) * (a - z)) ** (-1.0 / alpha)


@inline
def rounded(x, u):
    """Integer next to x >= 0, the upper one with the probability of the fraction; `u` is uniform."""
    return int(x + u)


@silent
@kernel
def hash_chain(steps):
    """`steps` dependent splitmix64 steps: the yardstick of the benchmark."""
    x = 1
    for _ in range(steps):
        x = mix(x + GOLDEN)
    return x
