"""The version of anypod, as pyproject.toml has it.

Owns nothing else. Must not import anything of ours: `anypod` itself takes it from here.
"""

from typing import Final

__version__: Final = "0.1.0"
