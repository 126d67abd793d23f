"""The scripts of the library: what each depends on is declared, and Lua has room for more."""

import re
from typing import Final

from anypod.redis_store.fields import FIELDS
from anypod.redis_store.functions import SCRIPTS, FunctionLibrary, script

LOCALS_MAX: Final = 160  # of the 200 that Lua has for one block: the rest is for scripts to come
_LOCAL: Final = re.compile(r"^local (?:function (\w+)|([\w, ]+?)(?: =|$))", re.MULTILINE)


def defined(text: str) -> set[str]:
    return {name for function, names in _LOCAL.findall(text) for name in ([function] if function else re.split(r", *", names))}


def words(text: str) -> set[str]:
    """Of the code: comments and what stands in quotes are left out, and so are the fields of tables."""
    code = re.sub(r"'(?:[^'\\\n]|\\.)*'|--[^\n]*", "", text)
    return set(re.findall(r"(?<![\w.])[A-Za-z_]\w*(?! *=[^=])", code)) | set(re.findall(r"(?<![\w.])(\w+)(?=\.)", code))


def used(name: str) -> set[str]:
    """The scripts before this one whose names it uses."""
    before = list(SCRIPTS)[: list(SCRIPTS).index(name)]
    own = words(script(name)) - defined(script(name))
    return {other for other in before if own & defined(script(other))}


def test_each_script_declares_the_scripts_whose_names_it_uses() -> None:
    assert {name: set(needs) for name, needs in SCRIPTS.items()} == {name: used(name) for name in SCRIPTS}


def test_a_script_uses_none_that_comes_after_it() -> None:
    order = list(SCRIPTS)
    assert all(order.index(needed) < order.index(name) for name, needs in SCRIPTS.items() for needed in needs)


def test_lua_has_room_for_the_names_of_further_scripts() -> None:
    source = FunctionLibrary().source.decode()
    alone = re.sub(r"^do\n.*?^end$", "", source, flags=re.MULTILINE | re.DOTALL)
    assert len(defined(alone)) <= LOCALS_MAX


def test_python_and_the_scripts_have_one_table_of_fields() -> None:
    assert len(FIELDS) == len(set(FIELDS.values())), "two names for one field"
    used_names = {name for other in SCRIPTS for name in re.findall(r"\bFIELD\.(\w+)", script(other))}
    assert used_names <= FIELDS.keys()
