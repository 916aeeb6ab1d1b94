"""Sweeps: many runs of one scenario, each kept as a part of its own, so that nothing done is ever done again.

`design` reads a sweep file and says which runs it is made of, `parts` makes and keeps one run, `loop` sees to it that
every run gets its part, whatever dies in the meantime.
"""
