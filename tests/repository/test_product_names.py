"""A name means one thing, a docstring names what there is, and a match leaves nothing out."""

from pathlib import Path

from tests.repository.product_names import classes_twice, false_mentions, open_matches

ROOT = Path(__file__).parents[2]
PRODUCT = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "service/anypod").rglob("*.py"))}
OF_OTHER_FILES = "_timing.tpl"  # what the chart has


def test_a_class_name_stands_once_in_the_product() -> None:
    assert not classes_twice(PRODUCT)


def test_a_class_name_that_stands_twice_is_found() -> None:
    assert classes_twice({"a.py": "class Row: ...", "b.py": "class Row: ...\nclass Column: ..."}) == {"Row": ["a.py", "b.py"]}


def test_a_docstring_names_only_what_there_is() -> None:
    scripts = (ROOT / "service/anypod/redis_store/scripts").glob("*.lua")
    vocabulary = "\n".join(path.read_text() for path in (ROOT / "service/spec/protocol.md", *scripts)) + OF_OTHER_FILES
    found = false_mentions(PRODUCT, vocabulary)
    assert not found, "\n".join(found)


def test_a_name_that_is_not_there_is_found_and_a_name_of_the_contract_is_not() -> None:
    text = '"""Owns `Row.size` and `Row.width`, `kept`, `gone` and `seq`."""\nclass Row:\n    def size(self):\n        return self.kept\n'
    assert false_mentions({"a.py": text}, "seq") == ["a.py: `Row.width`", "a.py: `gone`"]


def test_a_match_says_what_happens_to_everything_else() -> None:
    assert not [f"{path}:{line}: end it in assert_never, or say what else" for path, text in PRODUCT.items() for line in open_matches(text)]


def test_a_match_that_leaves_something_out_is_found() -> None:
    assert list(open_matches("match x:\n    case 1:\n        pass\n")) == [1]
    assert not list(open_matches("match x:\n    case 1:\n        pass\n    case _:\n        assert_never(x)\n"))
