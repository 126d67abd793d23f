"""The names of the product: classes, what they have, and what docstrings say of them.

Owns the reading of them from the code. Must not know where files are: it is given texts by their path.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final

_TICKED: Final = re.compile(r"`([A-Za-z_](?:[\w.]*\w)?)(?:\(\))?`")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")

Texts = Mapping[str, str]


def classes_twice(texts: Texts) -> dict[str, list[str]]:
    """Class names that more than one class has, with their files."""
    found = defaultdict(list)
    for path, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def false_mentions(texts: Texts, vocabulary: str) -> list[str]:
    """Names in backticks in docstrings that neither the code nor the contract (`vocabulary`) has."""
    trees = {path: ast.parse(text) for path, text in texts.items()}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    members = {node.name: set(_members(node)) for node in nodes if isinstance(node, ast.ClassDef)}
    docstrings = {id(node.body[0].value) for node in nodes if _has_docstring(node)}  # type: ignore[attr-defined]
    known = set(chain.from_iterable(_names(node) for node in nodes if id(node) not in docstrings)) | set(_WORD.findall(vocabulary))
    known |= set(chain.from_iterable(path.removesuffix(".py").split("/") for path in texts))
    return [f"{path}: `{name}`" for path, tree in trees.items() for name in _mentioned(tree) if not _exists(name, members, known)]


def open_matches(text: str) -> Iterator[int]:
    """Lines of `match` statements that end neither in `assert_never` nor in another case for everything else."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Match):
            last = node.cases[-1]
            if last.guard is not None or not (isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None):
                yield node.lineno


def _exists(name: str, members: Mapping[str, set[str]], known: set[str]) -> bool:
    parts = name.split(".")
    if len(parts) > 1 and parts[-2] in members:
        return parts[-1] in members[parts[-2]]
    return parts[-1] in known


def _mentioned(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if _has_docstring(node):
            yield from _TICKED.findall(ast.get_docstring(node) or "")  # type: ignore[arg-type]


def _has_docstring(node: ast.AST) -> bool:
    is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return is_documented and ast.get_docstring(node) is not None  # type: ignore[arg-type]


def _members(of: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(of):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(value=ast.Name(id="self"), attr=name):
                yield name
            case _:
                pass


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(name=name):
            yield from name.split(".")
        case ast.Constant(value=str(text)):
            yield from _WORD.findall(text)
        case ast.Constant(value=bytes(raw)):
            yield from _WORD.findall(raw.decode("latin-1"))
        case _:
            pass
