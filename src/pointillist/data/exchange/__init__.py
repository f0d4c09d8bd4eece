"""Marks that people drew in other programs: into a dataset, and out of it."""
