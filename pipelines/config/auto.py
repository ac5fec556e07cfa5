"""What `auto` stands for: the tier of the device in use, and the residency policy by the device's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.config.cards import simulated_card
from pipelines.devices import detect as detection
from pipelines.devices.detect import Detection
from pipelines.devices.registry import device_kinds, spec_of
from pipelines.plan.policy import policy_for
from pipelines.schema.hardware import classify
from pipelines.schema.settings import DeviceSpec, Tier
from pipelines.schema.units import format_bytes


def detected_tier(device: DeviceSpec, search: Sequence[Path]) -> str:
    """The tier that `tier=auto` stands for: of the simulated card, of the CPU, or of the card that the driver reports."""
    kind = device_kinds().get(device.kind)  # None: `auto`
    if kind is not None and kind.virtual:
        return classify(simulated_card(device, search))[0]
    if kind is not None and kind.memory == "host":
        return "cpu"
    found = detection.detect()
    if kind is not None:
        found = _as_card(found, spec_of(device.kind, device.index))
    if device.total is not None:
        found = detection.as_if(found, device.total)
    return found.tier if kind is None or found.tier != "cpu" else "modest"


def _as_card(found: Detection, spec: str) -> Detection:
    """The detection with the card the user named as the one in use, whatever detection would choose."""
    card = next((card for card in found.hardware.cards if card.spec == spec), None)
    return found if card is None else replace(found, card=card, tier=classify(card)[0])


def decide_residency(tier: Tier, total_bytes: int) -> tuple[Tier, tuple[str, ...]]:
    """The tier with its residency policy decided (`auto` goes by the device's size), and a line for a policy that is not `planned`."""
    policy = policy_for(tier.residency, total_bytes)
    if policy == "planned":
        return replace(tier, residency=policy), ()
    why = f" (auto, on a device of {format_bytes(total_bytes)})" if tier.residency == "auto" else ""
    return replace(tier, residency=policy), (f"residency={policy}{why}: {_MEANS[policy]}",)


_MEANS = {
    "sequential": "a model is loaded for one task and let go after it. residency=planned fits wherever this does and reloads less.",
    "normal": "every model stays to the end once it is loaded.",
}
