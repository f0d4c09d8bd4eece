"""Geometry in NumPy: strokes on pixel grids, distances between surfaces. Knows no files and no torch."""
