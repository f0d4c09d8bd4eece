"""Metrics, every one with its definition in its name, and the evaluation of whole folders."""
