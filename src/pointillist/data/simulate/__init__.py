"""Simulated marks: what an annotator might have drawn, computed from a dense truth."""

from pointillist.data.simulate.draw import draw
from pointillist.data.simulate.generators import DEFAULTS, GENERATORS, Annotation, Generator, generator_named

__all__ = ["DEFAULTS", "GENERATORS", "Annotation", "Generator", "draw", "generator_named"]
