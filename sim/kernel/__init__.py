"""The compiled kernel: matching, flow, standing programs, keyed randomness. Only `sim.market` calls it."""
