"""What grows: every queue, buffer and cache in the code, found by reading it.

Owns the rule. Must not know which bounds there are: `service/docs/security.md` lists them.

A place that grows is named `module.Class.attribute`, or `module.function` for a function that remembers its results. It is
found when it is made as a container or as bytes, and when anything but its constructor puts something into it: by a method
that adds, by `x[…] =`, or by `+=`; bytes also by being replaced. `self.x` is looked for in its own class, `other.x` and a
local name for it in all classes that have a container of that name: rather one place too many than one too few. Bytes that
somebody else replaces are no queue of theirs.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

GROWING: Final = frozenset({"add", "append", "appendleft", "extend", "extendleft", "insert", "put", "put_nowait", "setdefault", "update"})
CONTAINERS: Final = frozenset(
    {"bytearray", "bytes", "Counter", "defaultdict", "deque", "dict", "list", "OrderedDict", "Queue", "set", "WeakKeyDictionary", "WeakSet"}
)
REMEMBERING: Final = frozenset({"cache", "lru_cache"})


REPLACED: Final = "="


class Growth(NamedTuple):
    """Something is put into `owner.attribute`; `owner` None: of any class. `how`: the method, REPLACED, or none of both."""

    owner: str | None
    attribute: str
    how: str

    def is_of(self, name: str, kinds: set[str]) -> bool:
        """Can it be the attribute of this class, which is made as one of these kinds?"""
        if self.how == REPLACED:
            return self.owner == name and "bytes" in kinds
        return self.owner in (name, None) and not (self.how == "update" and "list" in kinds)


def growing_places(folder: Path) -> set[str]:
    """All names below the package's folder."""
    modules = {".".join(path.relative_to(folder).with_suffix("").parts): ast.parse(path.read_text()) for path in folder.rglob("*.py")}
    return places_in({name.removesuffix(".__init__"): tree for name, tree in modules.items()})


def places_in(modules: dict[str, ast.Module]) -> set[str]:
    containers: dict[str, dict[str, set[str]]] = {}
    growths: set[Growth] = set()
    remembering: set[str] = set()
    for module, tree in modules.items():
        for owner in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            name = f"{module}.{owner.name}"
            containers[name] = _containers(owner)
            growths |= {growth for function in _methods(owner) for growth in _growths(function, name)}
        growths |= {growth for function in _functions(tree.body) for growth in _growths(function, None)}
        remembering |= {f"{module}.{function.name}" for function in _functions(ast.walk(tree)) if _remembers(function)}
    found = {
        f"{name}.{attribute}"
        for name, attributes in containers.items()
        for attribute, kinds in attributes.items()
        if any(growth.attribute == attribute and growth.is_of(name, kinds) for growth in growths)
    }
    return found | remembering


def _containers(owner: ast.ClassDef) -> dict[str, set[str]]:
    """Attributes that are made as containers, and of which kinds."""
    made: dict[str, set[str]] = {}
    for node in ast.walk(owner):
        match node:
            case ast.AnnAssign(
                target=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name), annotation=kind, value=value
            ):
                is_made = isinstance(node.target, ast.Name) or (value is not None and not isinstance(value, ast.Name))
                if is_made and _kinds(kind) & CONTAINERS:
                    made[name] = _kinds(kind)
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value) if _kind(value) in CONTAINERS:
                made[name] = {_kind(value)}
    return made


def _kinds(annotation: ast.expr) -> set[str]:
    """The outermost names of a type: of `dict[str, list[int]] | None` it is dict and None."""
    match annotation:
        case ast.BinOp(left=left, right=right):
            return _kinds(left) | _kinds(right)
        case ast.Subscript(value=ast.Name(id="Final"), slice=inner):
            return _kinds(inner)
        case ast.Subscript(value=value):
            return _kinds(value)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return {name}
    return set()


def _kind(value: ast.expr) -> str:
    """What a value is made as, empty where it does not tell."""
    match value:
        case ast.List() | ast.ListComp():
            return "list"
        case ast.Dict() | ast.DictComp():
            return "dict"
        case ast.Set() | ast.SetComp():
            return "set"
        case ast.Constant(value=bytes()):
            return "bytes"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return ""


def _growths(function: ast.FunctionDef | ast.AsyncFunctionDef, owner: str | None) -> Iterator[Growth]:
    """What a function puts where. What a constructor puts into its own object is what there is from the beginning."""
    aliases = [alias for node in ast.walk(function) for alias in _aliases(node)]
    for node in ast.walk(function):
        for target, how in _grown(node):
            places = [value for name, value in aliases if name == target.id] if isinstance(target, ast.Name) else [target]
            for place in (place for place in places if isinstance(place, ast.Attribute)):
                is_own = isinstance(place.value, ast.Name) and place.value.id == "self"
                if not (is_own and function.name == "__init__"):
                    yield Growth(owner if is_own else None, place.attr, how)


def _aliases(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """`x = y.z`, also one of two: `x, y.z = y.z, []` and `x = y.z if … else y.w`."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            yield from ((name.id, value) for name, value in zip(names, values, strict=False) if isinstance(name, ast.Name))
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.IfExp(body=one, orelse=other)):
            yield from ((name, one), (name, other))
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value


def _grown(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Expressions that something is put into by this statement, and how."""
    match node:
        case ast.Call(func=ast.Attribute(value=target, attr=name)) if name in GROWING:
            yield _base(target), name
        case ast.Assign(targets=targets, value=value):
            for target in (inner for outer in targets for inner in _each(outer)):
                if isinstance(target, ast.Subscript):
                    yield _base(target.value), ""
                elif isinstance(target, ast.Attribute) and not isinstance(value, ast.Constant):
                    yield target, REPLACED
        case ast.AugAssign(target=ast.Subscript(value=target)):
            yield _base(target), ""
        case ast.AugAssign(op=ast.Add() | ast.BitOr(), target=ast.Attribute() as target):
            yield target, ""


def _each(target: ast.expr) -> list[ast.expr]:
    return target.elts if isinstance(target, ast.Tuple | ast.List) else [target]


def _base(target: ast.expr) -> ast.expr:
    """What holds it: of `x.y[z].append(…)` and `x.y.setdefault(…).add(…)` it is `x.y`."""
    match target:
        case ast.Subscript(value=value):
            return _base(value)
        case ast.Call(func=ast.Attribute(value=value, attr="setdefault" | "get")):
            return _base(value)
    return target


def _methods(owner: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return _functions(owner.body)


def _functions(nodes: "Iterator[ast.AST] | list[ast.stmt]") -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _remembers(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in function.decorator_list]
    return any(kind in REMEMBERING for call in calls for kind in _kinds(call))
