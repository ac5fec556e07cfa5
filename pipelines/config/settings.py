"""The composed config as frozen data: one `Settings`, made once. No code outside `pipelines.config` sees a `DictConfig`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipelines.config.compose import Composed
from pipelines.config.device import read_device
from pipelines.config.options import read_inputs, read_run_options
from pipelines.config.pipeline import read_pipeline
from pipelines.config.tier import read_tier
from pipelines.config.variants import read_variant
from pipelines.schema.config import Variant
from pipelines.schema.errors import UsageError
from pipelines.schema.roles import ROLES
from pipelines.schema.settings import Settings


def read_settings(composed: Composed) -> Settings:
    """Check and freeze a composed config. Raises `UsageError` with the key and the nearest valid names."""
    try:
        data: Any = OmegaConf.to_container(composed.cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UsageError(f"The config cannot be resolved: {' '.join(str(error).split())}.") from None
    overrides = composed.source.overrides
    return Settings(
        pipeline=read_pipeline(composed.choices.get("pipeline", "?"), data.get("pipeline")),
        tier=read_tier(composed.choices.get("tier", "?"), data.get("tier")),
        device=read_device(data.get("device")),
        pinned=_pinned(composed, data.get("model") or {}),
        options=read_run_options(data),
        inputs=read_inputs(data),
        explicit_limit=any(re.match(r"^\+*tier\.limit=", override) for override in overrides),
        source=composed.source,
        resolved=data,
    )


def _pinned(composed: Composed, models: Mapping[str, Any]) -> dict[str, Variant]:
    pinned = {}
    for role in ROLES:
        choice = composed.choices.get(f"model/{role}", "auto")
        if isinstance(models.get(role), str):
            raise UsageError(
                f"model.{role}={models[role]} pins nothing. A variant has a slash: model/{role}={models[role]}."
            )
        if choice not in ("auto", "null", None) and isinstance(models.get(role), Mapping):
            pinned[role] = read_variant(role, choice, models[role])
    return pinned
