"""Pointillist: from a few clicks or scribbles per image to full medical image segmentations."""

__version__ = "0.1.0"
