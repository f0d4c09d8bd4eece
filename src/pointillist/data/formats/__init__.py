"""Marks and outlines in other programs' files: one codec a format."""
