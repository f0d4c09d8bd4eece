"""Training methods: one final class a file, found by name in the registry; a method never imports another."""

from pointillist.methods._base import Context, Method, Moment, Needs, Recipe, Score, SingleNet, StepOut, Term
from pointillist.methods._registry import build_method, method_named, methods, register

__all__ = [
    "Context",
    "Method",
    "Moment",
    "Needs",
    "Recipe",
    "Score",
    "SingleNet",
    "StepOut",
    "Term",
    "build_method",
    "method_named",
    "methods",
    "register",
]
