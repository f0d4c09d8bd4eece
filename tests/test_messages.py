"""Every named failure says five things: what, where, expected, received, and what to do about it."""

import ast
from pathlib import Path

import pytest

from pointillist import errors
from pointillist.errors import PointillistError, nearest

SOURCE = Path(__file__).parents[1] / "src"
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, PointillistError)}
PARTS = {"where", "expected", "received", "todo"}


def calls(tree: ast.AST) -> list[ast.Call]:
    """Every construction of an error, as ``InputError(…)`` or ``errors.InputError(…)``."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call
        for call in found
        if (isinstance(call.func, ast.Name) and call.func.id in KINDS)
        or (isinstance(call.func, ast.Attribute) and call.func.attr in KINDS)
    ]


def lacking(call: ast.Call) -> set[str]:
    """The parts that a construction leaves out, or states as the empty text; none where it passes ``**fields``."""
    stated = {keyword.arg for keyword in call.keywords if ast.unparse(keyword.value) != "''"}
    return (set() if None in stated else PARTS - stated) | (set() if call.args else {"what"})


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_error_says_what_where_expected_received_and_what_to_do(path):
    found = calls(ast.parse(path.read_text(encoding="utf-8")))
    assert [f"line {call.lineno}: {', '.join(sorted(lacking(call)))}" for call in found if lacking(call)] == []


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("raise InputError('no')", PARTS),
        ("return errors.LabelError('no', where=1, expected=2, received=3)", {"todo"}),
        ("InputError('no', where='', expected=2, received=3, todo='mend it')", {"where"}),
        ("InputError(where=1, expected=2, received=3, todo='mend it')", {"what"}),
        ("InputError('no', **fields)", set()),
        ("InputError('no', where=1, expected=2, received=3, todo='mend it')", set()),
    ],
)
def test_the_walk_sees_what_is_left_out(code, parts):
    (call,) = calls(ast.parse(code))
    assert lacking(call) == parts


@pytest.mark.parametrize(
    ("name", "todo"),
    [
        ("gated_cfr", "did you mean 'gated_crf'?"),
        ("gatedcrf", "did you mean 'gated_crf'?"),
        ("ful", "did you mean 'full'?"),
        ("medpy", "choose one of these"),
        ("", "choose one of these"),
    ],
)
def test_only_a_similar_name_is_proposed(name, todo):
    assert nearest(name, {"full": 1, "gated_crf": 2, "pce": 3}) == todo


def test_without_names_none_is_proposed():
    assert nearest("full", []) == "choose one of these"
