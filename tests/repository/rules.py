"""The repository's own rules: what neither ruff, mypy nor import-linter checks.

Owns the rules. Must not know where files are: a rule is given a path and a text, and answers with findings. Every finding
says what to do instead.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

NESTING_MAX: Final = 3

# Where the one door to something stands; everybody else is given what comes through it.
ENVIRONMENT_DOORS: Final = frozenset({"service/anypod/settings/environment.py", "service/anypod/devcluster/environment.py"})
CLOCK_DOOR: Final = "service/anypod/clock.py"
# An application makes its client itself, and need not know of our clock: the client has a source of chance of its own.
CHANCE_DOORS: Final = frozenset({CLOCK_DOOR, "service/anypod/client/session.py"})
# The command and the wire's field have the name that their users know.
TOKEN_NAMERS: Final = frozenset({"service/anypod/cli/token.py", "service/anypod/core/frames.py"})

TOP_LEVEL: Final = frozenset(
    {
        "pyproject.toml",
        "uv.lock",
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        "Makefile",
        "service",
        "helm",
        "infra",
        "loadtests",
        "tests",
    }
)
TOP_LEVEL_BUILT: Final = frozenset({"dist", "build"})  # made by tools, ignored by git

Check = Callable[[str], Iterator[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`suffixes` and `folders`: the files that it is for. `exempt`: the doors."""

    check: Check
    suffixes: tuple[str, ...]
    folders: tuple[str, ...]
    exempt: frozenset[str] = frozenset()

    def findings(self, path: str, text: str) -> list[str]:
        is_for_it = path.endswith(self.suffixes) and path.startswith(self.folders) and path not in self.exempt
        return [f"{path}:{line}: {message}" for line, message in self.check(text)] if is_for_it else []


def top_level(names: set[str]) -> list[str]:
    """What stands at the top beside dot-files."""
    extra = {name for name in names - TOP_LEVEL - TOP_LEVEL_BUILT if not name.startswith(".")}
    return [f"{name}: the top level is {', '.join(sorted(TOP_LEVEL))}; put it into one of those folders" for name in sorted(extra)]


def deep_nesting(text: str) -> Iterator[tuple[int, str]]:
    for function in _functions(text):
        if (depth := _depth(function)) > NESTING_MAX:
            yield (
                function.lineno,
                f"{function.name} nests {depth} deep: return early, or move the inside into a function, at most {NESTING_MAX}",
            )


def vague_names(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and (match := re.search(r"(Manager|Helper|Utils?|Info|Data)$", node.name)):
            yield node.lineno, f"class {node.name}: {match[1]} says nothing; name the thing it is, in the design's vocabulary"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and re.match(r"_?(process|handle_data|do)_", node.name):
            yield node.lineno, f"function {node.name}: name what it brings about"


def wrong_words(text: str) -> Iterator[tuple[int, str]]:
    """Words that the vocabulary gives another meaning."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Attribute(attr="getLogger"))) if name != "logger":
                yield node.lineno, f"`{name}`: who writes lines is `logger`; a log is the session's"
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                if re.fullmatch(r"_?(access_|auth_|jwt_|bearer_)?tokens?", name):
                    yield node.lineno, f"`{name}`: a token is an event kind; say credential, fence or permit"


def environment_readers(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"}:
            yield node.lineno, "only settings read the environment: take the setting through the constructor"


def clock_users(text: str) -> Iterator[tuple[int, str]]:
    for line, name in _imports(text):
        if name == "time" or name.startswith("time."):
            yield line, "take a `Clock` through the constructor: only `clock` imports time"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"} and _is_named(node.value, {"datetime", "date"}):
            yield node.lineno, "take a `Clock` through the constructor: `wall_ms()` is the date"


def chance_users(text: str) -> Iterator[tuple[int, str]]:
    """The type `Random` may be named by anybody: who has one was given it, or seeded it."""
    for line, name in _imports(text):
        if name in {"secrets", "uuid"} or (name.startswith(("secrets.", "uuid.", "random.")) and name != "random.Random"):
            yield line, "take a `random.Random` through the constructor: only `clock` makes one"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and _is_named(node.value, {"random"}) and node.attr != "Random":
            yield node.lineno, "call it on the `random.Random` that you were given"
        if isinstance(node, ast.Attribute) and node.attr == "urandom":
            yield node.lineno, "take a `random.Random` through the constructor: `randbytes` is its entropy"


def silent_roots(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        is_blind = node.type is None or _is_named(node.type, {"Exception", "BaseException"})
        if is_blind and not any(isinstance(inner, ast.Raise) or _is_logged(inner) for inner in ast.walk(node)):
            yield node.lineno, "catch the narrowest; at a task's root log it with `logger.exception` and count it, or raise"


def bare_noqa(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"#\s*noqa(?!: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*\s+\S)", line):
            yield number, "say which rule and why: `noqa: S603 - the command is ours`"


def missing_purpose(text: str) -> Iterator[tuple[int, str]]:
    if not ast.get_docstring(ast.parse(text)):
        yield 1, "open with a docstring: what the module is, what it owns and what it must not know"


def doubles(text: str) -> Iterator[tuple[int, str]]:
    for line, name in _imports(text):
        if name.startswith(("unittest.mock", "mock.", "pytest_mock")) or name == "mock":
            yield line, "use the real object over a memory store and a test clock"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg) and node.arg in {"monkeypatch", "mocker"}:
            yield node.lineno, "nothing is patched: give the object another collaborator through its constructor"


def terse_test_names(text: str) -> Iterator[tuple[int, str]]:
    for function in _functions(text):
        if function.name.startswith("test_") and len(function.name.split("_")) < 4:
            yield function.lineno, f"{function.name}: a test is a sentence that tells one behaviour"


def machine_paths(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.search(r"(?<![\w.$})/])/(work|root|home|Users|farm|mnt|opt)/\w", line):
            yield number, f"{match[0]}… is a path of one machine: make it relative to the repository, or a setting"


def registry_hosts(text: str) -> Iterator[tuple[int, str]]:
    hosts = r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|crates\.io|rubygems\.org|proxy\.golang\.org)\b"
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.search(hosts, line):
            yield number, f"{match[0]} stands in uv.lock alone: name the package, the tool knows its registry"


def _functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _depth(node: ast.AST) -> int:
    """How many blocks stand in each other. `elif` is no deeper than `if`, and a function in a function begins anew."""
    blocks = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, _depth(child) + (isinstance(child, blocks) and not is_elif))
    return deepest


def _imports(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _is_named(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _is_logged(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in {"exception", "critical", "error", "warning"}


PRODUCT: Final = ("service/anypod/",)
CODE: Final = ("service/", "tests/", "loadtests/")
EVERYWHERE: Final = ("",)
TEXTS: Final = (".py", ".lua", ".md", ".toml", ".yaml", ".yml", ".json", ".js", ".html", ".tf", ".sh", "Makefile", ".ci/run", ".ci/setup")

RULES: Final = {
    "deep nesting": Rule(deep_nesting, (".py",), PRODUCT),
    "vague names": Rule(vague_names, (".py",), PRODUCT),
    "wrong words": Rule(wrong_words, (".py",), PRODUCT, TOKEN_NAMERS),
    "environment": Rule(environment_readers, (".py",), PRODUCT, ENVIRONMENT_DOORS),
    "time": Rule(clock_users, (".py",), PRODUCT, frozenset({CLOCK_DOOR})),
    "chance": Rule(chance_users, (".py",), PRODUCT, CHANCE_DOORS),
    "silent roots": Rule(silent_roots, (".py",), PRODUCT),
    "bare noqa": Rule(bare_noqa, (".py",), CODE),
    "missing purpose": Rule(missing_purpose, (".py",), PRODUCT),
    "doubles": Rule(doubles, (".py",), ("tests/", "loadtests/")),
    "terse test names": Rule(terse_test_names, (".py",), ("tests/",)),
    "machine paths": Rule(machine_paths, TEXTS, EVERYWHERE),
    "registry hosts": Rule(registry_hosts, TEXTS, EVERYWHERE),
}


def is_text(path: PurePath) -> bool:
    return path.as_posix().endswith(TEXTS)
