"""Makes tiny random weights to try things on: python -m tests.checkpoints FOLDER [ROLE/NAME...], then weights_dir=FOLDER.

They have the genuine formats and file names, and no sense: a Whisper that recites one line, a voice that hums noise.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

from tests.checkpoints.every import make_all, needing


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.checkpoints", description=__doc__)
    parser.add_argument("folder", type=Path, help="the weights folder to make or to complete")
    parser.add_argument(
        "variants", nargs="*", metavar="ROLE/NAME", help="for which variants; default: all that need any"
    )
    args = parser.parse_args(argv)
    if unknown := [name for name in args.variants if name not in needing()]:
        parser.error(f"{unknown[0]} needs no weights or does not exist. Known: {', '.join(needing())}.")
    warnings.simplefilter("ignore")  # the libraries' own, for their developers
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    for variant, folder in make_all(args.folder, args.variants).items():
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{variant}: {folder} ({size / 2**20:.1f} MiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
