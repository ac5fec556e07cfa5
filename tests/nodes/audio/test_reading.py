"""Sound of films, in two channels."""

import numpy as np

from nodes.audio.reading import folded


def test_more_than_two_channels_are_folded_with_the_centre_on_both_sides():
    names = {1: "m", 2: "lr", 3: "lrc", 4: "lrab", 5: "lrcab", 6: "lrcfab", 8: "lrcfabxy"}  # front, low, back, side
    kept = {1: ["m"], 2: ["l", "r"], 3: ["lc", "rc"], 4: ["la", "rb"], 5: ["lca", "rcb"], 6: ["lca", "rcb"],
            8: ["lcax", "rcby"]}  # fmt: skip
    for count, order in names.items():
        made = folded(np.eye(count, dtype=np.float32))
        detected = ["".join(order[i] for i in np.flatnonzero(row)) for row in made]
        assert detected == kept[count]
        assert np.allclose(made.sum(axis=1), 1)
