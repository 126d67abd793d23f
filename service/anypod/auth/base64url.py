"""One segment of a credential: base64url without padding (RFC 7515, section 2).

Owns its writing, and its strict reading: each sequence of bytes has one text, so that a credential cannot be rewritten into
another that says the same. Must not know what a segment says.
"""

from base64 import urlsafe_b64encode
from binascii import a2b_base64
from typing import Final

CREDENTIAL_BYTES_MAX: Final = 8_192  # of all segments together: what common proxies let through as one header

# The letters of base64url become those of base64, and what only base64 has becomes what has no place in either.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", b"", b"==", b"=")  # by the letters beyond a multiple of four
_LAST_LETTERS: Final = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")  # those whose surplus bits are zero; one letter alone is no byte


def encoded(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def decoded(segment: bytes) -> bytes:
    """Raises ValueError."""
    beyond = len(segment) % 4
    if beyond and segment[-1] not in _LAST_LETTERS[beyond]:
        raise ValueError("the last letter of a segment stands for no whole byte")
    return a2b_base64(segment.translate(_TO_BASE64) + _PADDING[beyond], strict_mode=True)
