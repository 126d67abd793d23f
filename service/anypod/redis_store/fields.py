"""The fields of a session's hash, by name: the table of the scripts, for what Python looks at.

Owns the reading of `scripts/fields.lua`. Must not know what a field holds.
"""

import re
from typing import Final

from anypod.redis_store.functions import script

_FIELD: Final = re.compile(r"^  (\w+) = '(\w+)',", re.MULTILINE)

FIELDS: Final[dict[str, str]] = dict(_FIELD.findall(script("fields")))
