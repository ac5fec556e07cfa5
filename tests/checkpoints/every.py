"""Made weights for every variant that needs any: tiny and random, in the genuine formats, under the names that a fetch gives them.

Whisper's recite `SAYS` whatever they hear; the others make noises. Sizes of one family differ only in name, so they get copies.
"""

import shutil
from pathlib import Path

import yaml

CONF = Path(__file__).parents[2] / "conf" / "model"
SAYS = "hello world this is a tiny song"
#: The published networks' signatures, in the order of the stems: `tests/checkpoints/demucs.py` makes four.
HTDEMUCS, SPECIALISTS = "955717e8", ["f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d"]


def needing(conf=CONF):
    """{variant: the folder its file names} of all that need weights."""
    files = {f"{path.parent.name}/{path.stem}": path for path in sorted(conf.glob("*/*.yaml"))}
    wanted = {name: yaml.safe_load(path.read_text(encoding="utf-8")).get("weights") for name, path in files.items()}
    return {name: weights["folder"] for name, weights in wanted.items() if weights}


def make(folder):
    """Make the weights that belong in a weights folder's `folder`, by its name. Raises `KeyError` for one nobody can make."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.name.startswith("whisper-"):
        return _whisper(folder)
    return {"htdemucs": _htdemucs, "htdemucs_ft": _htdemucs_ft, "xtts": _xtts, "f5": _f5, "rvc": _rvc,
            "freevc": _freevc}[folder.name](folder)  # fmt: skip


def make_all(root, variants=()):
    """Make what `variants` (all where none is named) need in the weights folder `root`; what is there stays. Gives its folders."""
    known = needing()
    made, whisper = {}, None
    for variant in variants or known:
        folder = Path(root) / known[variant]
        if not folder.exists() and folder.name.startswith("whisper-") and whisper:
            shutil.copytree(whisper, folder)
        elif not folder.exists():
            make(folder)
        whisper = folder if folder.name.startswith("whisper-") else whisper
        made[variant] = folder
    return made


def _whisper(folder):
    from tests.checkpoints.whisper import make_whisper

    return make_whisper(folder, SAYS)


def _htdemucs(folder):
    from tests.checkpoints.demucs import make_bag

    return make_bag(folder, "htdemucs", {HTDEMUCS: 0})


def _htdemucs_ft(folder):
    """The bag with its vocals specialist only, which is all that is ever fetched."""
    from tests.checkpoints.demucs import make_bag

    return make_bag(folder, "htdemucs_ft", dict.fromkeys(SPECIALISTS) | {SPECIALISTS[3]: 3})


def _xtts(folder):
    from tests.checkpoints.xtts import make_xtts

    return make_xtts(folder, stop=2.0)  # short sentences: its vocoder is as wide as the published one


def _f5(folder):
    from tests.checkpoints.f5 import make_f5

    return make_f5(folder)


def _rvc(folder):
    from tests.checkpoints.rvc import make_index, make_rvc

    make_rvc(folder)
    make_index(folder / "voice.index")
    return folder


def _freevc(folder):
    from tests.checkpoints.freevc import make_freevc

    return make_freevc(folder)
