"""`make release-artefacts`: keep the wheel and the chart of a release, and forget those of the one before.

Owns where they are put. Must not know what is tested with them. Both are made of a commit, never of the working tree.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.chart.tools import ROOT, find
from tests.versions.released import FOLDER

CHARTS: Final = ROOT / "helm/released"
UV: Final = ROOT / ".anypod/tools/uv/bin"  # where `.ci/setup` puts it on a machine that had none


def main() -> int:
    parser = argparse.ArgumentParser(prog="make release-artefacts", description=__doc__)
    parser.add_argument("revision", help="the commit of the release")
    revision = parser.parse_args().revision
    uv, helm = shutil.which("uv") or shutil.which("uv", path=UV), find("helm")
    if uv is None or helm is None:
        print(f"there is no {'uv' if uv is None else 'helm'}: put it on PATH, then try again")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        tree, made = Path(folder) / "tree", Path(folder) / "made"
        tree.mkdir()
        archive = subprocess.run(("git", "archive", revision), cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(("tar", "-x", "-C", str(tree)), input=archive, check=True)
        date = subprocess.run(("git", "log", "-1", "--format=%ct", revision), cwd=ROOT, capture_output=True, text=True, check=True).stdout
        same = {**os.environ, "SOURCE_DATE_EPOCH": date.strip()}  # the same commit makes the same bytes
        subprocess.run((uv, "build", "--quiet", "--wheel", "--out-dir", str(made), str(tree)), env=same, check=True)
        subprocess.run((str(helm), "package", str(tree / "helm/anypod"), "--destination", str(made)), check=True)
        for kept, pattern in ((FOLDER, "anypod-*.whl"), (CHARTS, "anypod-*.tgz")):
            for old in kept.glob(pattern):
                old.unlink()
            for new in made.glob(pattern):
                shutil.copy(new, kept)
                print(f"kept: {(kept / new.name).relative_to(ROOT)}")
    print(f"now write the commit into {(FOLDER / 'README.md').relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
