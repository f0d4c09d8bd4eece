"""Solvers of optimisation problems on grids: arrays in, arrays out, no method and no network."""
