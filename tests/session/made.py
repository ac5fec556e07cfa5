"""An inventory made by hand: no disk, no driver, no Hydra. A pipeline of two roles on one song, two variants each."""

from dataclasses import replace

from pipelines.graph.build import Ports, build
from pipelines.run.ladder import MODES
from pipelines.schema.config import Footprint, Item, NodeSpec, PipelineSpec, Variant
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import ConfigSource, DeviceSpec, InputOptions, RunOptions, Settings, Tier
from pipelines.session.availability import Availability
from pipelines.session.inventory import DeviceFacts, Inventory, NodeTraits
from pipelines.weights import WeightsLocation

CARD = DeviceFacts("simulated", "a card", 1000, "cpu", "accelerator", "simulated")
READY, ABSENT = WeightsLocation(), WeightsLocation(looked=("/here",), fetchable=True)


def variant(name, quality, weights, seconds=1.0, **more):
    """One that takes `weights` bytes of the card and `weights // 10` to work."""
    footprint = Footprint(weights, workspace={"base": weights // 10}, seconds={"base": seconds}, load_seconds=1.0)
    return Variant(name, name.partition("/")[0], f"nodes.{name.replace('/', '.')}", quality,
                   footprints={"accelerator": footprint, "host": replace(footprint, load_seconds=0.5)}, **more)  # fmt: skip


VARIANTS = {
    "separate": (variant("separate/big", 2, 600), variant("separate/small", 1, 200)),
    "transcribe": (variant("transcribe/large", 3, 700), variant("transcribe/tiny", 1, 100)),
}
NODES = (
    NodeSpec("separate", "separate", inputs={"audio": "item.audio"}),
    NodeSpec("transcribe", "transcribe", inputs={"audio": "separate.vocals"}),
)


def inventory(*, nodes=NODES, variants=VARIANTS, limit=1000, tier=None, pinned=None, found=None, **more):
    """What `take_inventory` would have found. found: Availability by origin, where it is not simply there."""
    pipeline = PipelineSpec("made", nodes)
    ports = {node.name: Ports(ROLES[node.role].inputs, ROLES[node.role].outputs) for node in nodes}
    settings = Settings(
        pipeline, tier or Tier("made"), more.pop("device_spec", DeviceSpec()), {v.role: v for v in pinned or ()},
        more.pop("options", RunOptions()), InputOptions(), explicit_limit=False, source=ConfigSource(), resolved={},
    )  # fmt: skip
    known = {**variants, **{v.role: (v,) for v in pinned or ()}}
    every = [each for some in known.values() for each in some]
    return Inventory(
        settings=settings,
        device=more.pop("device", CARD),
        limit_bytes=limit,
        graph=build(pipeline, ports),
        items=(Item("song", seconds=10.0),),
        variants=known,
        found={**{each.origin: Availability(READY) for each in every}, **(found or {})},
        mode=MODES["balanced"],
        traits={each.target: NodeTraits(False, False, False) for each in every} | more.pop("traits", {}),
        **more,
    )
