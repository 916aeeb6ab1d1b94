"""The doors through which Python enters the running market often: they take arrays one by one.

At each call from Python the type of every argument is looked up. That of an array is found at once, that of a named
tuple of arrays is spelt out anew, which takes longer than most of what is asked here.
"""

from __future__ import annotations

from sim.kernel.jit import kernel
from sim.kernel.run import end_program as end
from sim.kernel.run import launch as launch_program
from sim.kernel.run import run as run_market
from sim.kernel.state import Books
from sim.kernel.world import World


@kernel
def run(
    table, pages, levels, orders, stops, books, counts, trades, quotes, events, owners,
    clock, wheel, nodes, programs, params, slots, stats, alarms, pending,
    until,
):  # fmt: skip
    """`sim.kernel.run.run`."""
    b = Books(table, pages, levels, orders, stops, books, counts, trades, quotes, events, owners)
    w = World(clock, wheel, nodes, programs, params, slots, stats, alarms, pending)
    return run_market(b, w, until)


@kernel
def launch(clock, wheel, nodes, programs, params, slots, stats, alarms, pending, old, ident):
    """`sim.kernel.run.launch`."""
    return launch_program(World(clock, wheel, nodes, programs, params, slots, stats, alarms, pending), old, ident)


@kernel
def end_program(clock, wheel, nodes, programs, params, slots, stats, alarms, pending, p, ident):
    """`sim.kernel.run.end_program`."""
    end(World(clock, wheel, nodes, programs, params, slots, stats, alarms, pending), p, ident)
