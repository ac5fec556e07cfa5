"""What a stranger's config may not do: import code, change the environment, unfold without end. Refused before Hydra acts on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipelines.schema.errors import UsageError

#: A config file is a page or two; and a few aliases of aliases can stand for more values than any memory holds.
MAX_FILE_BYTES, MAX_ALIASES = 1024**2, 32


def refuse_bombs(folder: Path) -> None:
    """Refuse a folder of a stranger's YAML whose files would unfold without end. Raises `UsageError` naming the file."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for file in sorted(folder.rglob("*.yaml")):
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{file} is larger than any config ({MAX_FILE_BYTES // 1024} KiB is the limit).")
        try:
            events = yaml.parse(file.read_text(encoding="utf-8"), Loader=loader)
            aliases = sum(isinstance(event, yaml.AliasEvent) for event in events)
        except (yaml.YAMLError, UnicodeDecodeError, OSError):
            continue  # the reader of the file reports it
        if aliases > MAX_ALIASES:
            raise UsageError(f"{file} has {aliases} aliases (*name); {MAX_ALIASES} is the limit. Write the values out.")


def guarded_hydra(search: Any) -> Any:
    """A `Hydra` over a search path that looks at every config it composes, and at every folder before it opens it."""
    from hydra._internal.hydra import Hydra

    class GuardedHydra(Hydra):
        def compose_config(self, *args: Any, **kwargs: Any) -> DictConfig:
            cfg = super().compose_config(*args, **kwargs)
            refuse_foreign_code(cfg.hydra)
            return cfg

    hydra: Any = GuardedHydra.create_main_hydra2("headroom", search)
    hydra.config_loader._process_config_searchpath = _guarded_search(hydra.config_loader)
    return hydra


def _guarded_search(loader: Any) -> Callable[..., None]:
    """Hydra imports the packages of a search path (`pkg://`) when it opens them; this looks before it does."""
    original = loader._process_config_searchpath

    def process(name: str | None, overrides: Any, repo: Any) -> None:
        initialize = repo.initialize_sources

        def checked(search: Any) -> None:
            for entry in search.get_path():
                known = ("file://", "structured://", "pkg://hydra.conf")
                if "://" in str(entry.path) and not str(entry.path).startswith(known):
                    raise UsageError(
                        f"hydra.searchpath: {entry.path!r} would import a package. Name a folder: file:///path."
                    )
            initialize(search)

        repo.initialize_sources = checked
        original(name, overrides, repo)

    return process


def refuse_foreign_code(hydra: DictConfig) -> None:
    """Hydra would import whatever its own config names. Only its own packages and plain logging may stand there."""
    data = OmegaConf.to_container(hydra, resolve=False)
    assert isinstance(data, dict)
    for place, key, value in _leaves(data, "hydra"):
        if key == "_target_" and not str(value).startswith(("hydra.", "hydra_plugins.")):
            raise UsageError(
                f"{place}: {value!r} may not be named here; only Hydra's own launchers, sweepers and callbacks are."
            )
        logging = place.startswith(("hydra.job_logging", "hydra.hydra_logging"))
        allowed = ("logging.", "ext://sys.std", "colorlog.")
        if logging and key in ("()", "class", "stream", "factory") and not str(value).startswith(allowed):
            raise UsageError(f"{place}: {value!r} may not be named here; only Python's own logging classes are.")
    if data.get("job", {}).get("env_set"):
        raise UsageError(
            "hydra.job.env_set is not honoured: a config may not change the environment. Set it in the shell."
        )


def _leaves(data: Any, place: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _leaves(value, f"{place}.{key}")
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _leaves(value, f"{place}.{index}")
    else:
        yield place, place.rsplit(".", 1)[-1], data
