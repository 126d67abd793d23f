"""`anypod config`: every setting, what it is now and where that comes from.

Owns the table's look. Must not know the settings.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anypod.settings import SettingRow

EXIT_UNUSABLE = 2


def config() -> None:
    """List every setting with its variable, value, default, unit and source; secrets are masked."""
    from anypod.settings import SettingError, Settings, load_settings, setting_rows

    try:
        rows = setting_rows(load_settings())
    except SettingError as error:
        _print(setting_rows(Settings.model_construct()))
        sys.stderr.write(f"anypod: these are the defaults, because what is set here cannot be used: {error}\n")
        sys.exit(EXIT_UNUSABLE)
    _print(rows)


def _print(rows: Iterable["SettingRow"]) -> None:
    """A table for a person; tab-separated lines for a program, which has no width to fit into."""
    titles = ("variable", "value", "default", "unit", "source", "meaning")
    lines = [(row.variables[0], row.value, row.default, row.unit, row.source, row.meaning) for row in rows]
    if not sys.stdout.isatty():
        for line in (titles, *lines):
            print("\t".join(line))
        return

    from rich.console import Console
    from rich.table import Table

    table = Table(*titles, highlight=True)
    for line in lines:
        table.add_row(*line)
    Console().print(table)
