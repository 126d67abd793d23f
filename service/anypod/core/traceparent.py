"""Where a trace goes on (W3C Trace Context, `traceparent`): what a publisher may write there.

Owns the form. Must not know tracing.
"""

import re
from typing import Final

# Version ff is forbidden, and so are ids of zeros; versions after 00 may add fields.
_FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?", re.ASCII)


def is_traceparent(text: str) -> bool:
    found = _FORM.fullmatch(text)
    return found is not None and not (found[1] and text.startswith("00"))
