"""The config composed: Hydra driven from outside, so that its flags keep working and its exceptions become sentences."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipelines.config import catalog
from pipelines.config.catalog import conf_dir, load_yaml
from pipelines.config.device import read_device
from pipelines.config.flags import quoted
from pipelines.config.guard import guarded_hydra, refuse_bombs
from pipelines.config.hydra_errors import readable_errors
from pipelines.config.options import INPUTS, ITEM_SETTINGS, RUN_OPTIONS, check_options
from pipelines.config.suggestions import ROOT_CONFIG, no_experiment
from pipelines.schema.errors import UsageError
from pipelines.schema.settings import ConfigSource

CONFIG_NAME = "config"


@dataclass(frozen=True, slots=True)
class Composed:
    """A composed config, for `read_settings`.

    cfg: the config without Hydra's own part. choices: group -> option chosen. source: where it came from. folder: the run's
    folder, None where none was made.
    """

    cfg: DictConfig
    choices: Mapping[str, str]
    source: ConfigSource
    folder: Path | None = None


def write_resolved(folder: Path, resolved: Mapping[str, Any]) -> None:
    """Write `config_resolved.yaml`: the config with every interpolation worked out."""
    text = OmegaConf.to_yaml(OmegaConf.create(dict(resolved)))
    (folder / "config_resolved.yaml").write_text(text, encoding="utf-8")


class Composer:
    """One Hydra instance over the shipped tree and the user's own folder (`-cd`). Use as a context manager."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self._name = flags.config_name or CONFIG_NAME
        #: The run or sweep folder, once it was claimed.
        self.folder: Path | None = None

    def __enter__(self) -> Composer:
        from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
        from hydra._internal.utils import create_config_search_path
        from hydra.core.config_search_path import SearchPathQuery
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()
        _register_resolvers()
        search: Any = create_config_search_path(str(Path(self._flags.config_path or conf_dir()).resolve()))
        assert isinstance(search, ConfigSearchPathImpl)
        if self._flags.config_dir is not None:
            folder = Path(self._flags.config_dir).resolve()
            if not folder.is_dir():
                raise UsageError(f"The config folder {folder} (-cd) does not exist.")
            refuse_bombs(folder)
            if self._name == CONFIG_NAME:
                refuse_partial_root(folder / f"{CONFIG_NAME}.yaml")
            search.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="main"))
        self._hydra = guarded_hydra(search)
        refuse_unknown_experiments(self._flags.overrides, self.search())
        return self

    def __exit__(self, *error: object) -> None:
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()

    @property
    def is_show(self) -> bool:
        """Whether the flags only ask Hydra to show something."""
        flags = self._flags
        return bool(flags.cfg or flags.info is not None or flags.hydra_help or flags.shell_completion)

    def compose(self) -> Composed:
        """The config without running anything: no folder is made."""
        from hydra.core.hydra_config import HydraConfig

        cfg = self._checked_config()
        HydraConfig.instance().set_config(cfg)
        with self._readable_errors():
            job = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
            return self._as_composed(job, cfg.hydra)

    def _checked_config(self) -> DictConfig:
        """Hydra's whole config, `hydra` included, with `tier=auto` replaced and the plain settings checked."""
        self._replace_auto_tier()
        cfg = self._hydra_config(self._flags.overrides)
        with self._readable_errors():
            plain = [key for key in (*RUN_OPTIONS, *INPUTS, *ITEM_SETTINGS) if key in cfg]
            data: Any = OmegaConf.to_container(OmegaConf.masked_copy(cfg, plain), resolve=True)
            check_options(data)
        return cfg

    def _replace_auto_tier(self) -> None:
        """Put the name of the tier that `tier=auto` stands for into the overrides, so that folders and records name it."""
        from pipelines.config.auto import detected_tier

        overrides = self._flags.overrides
        named = [override.partition("=")[2] for override in overrides if override.startswith("tier=")]
        if named and named[-1] != "auto":
            return
        cfg = self._hydra_config([override for override in overrides if not override.startswith("tier")])
        if cfg.hydra.runtime.choices.get("tier") != "auto":  # a root config of the user's own names one
            return
        with self._readable_errors():
            device = read_device(OmegaConf.to_container(cfg.device, resolve=True))
        streams = [override for override in overrides if override.lstrip("+").startswith("tier.streams=")]
        found = "cpu" if streams and streams[-1].endswith("=0") else detected_tier(device, self.search())
        self._flags.overrides = [f"tier={found}", *(each for each in overrides if not each.startswith("tier="))]

    def _hydra_config(self, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
        from hydra.types import RunMode

        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        with self._readable_errors():
            cfg: DictConfig = self._hydra.compose_config(
                self._name, list(overrides), mode, with_log_configuration=False
            )
        return cfg

    def run(self, task: Callable[[Composed], Any]) -> Any:
        """Compose, make the run folder with `.hydra/` in it, and call `task`. Its exceptions pass through."""
        self._claim_folder(self._checked_config(), "hydra.run.dir")
        ended: list[Any] = []
        self._hydra.run(self._name, self._task(task, ended), list(self._flags.overrides), with_log_configuration=False)
        if isinstance(ended[0], Exception):
            raise ended[0]
        return ended[0]

    def _claim_folder(self, cfg: DictConfig, key: str) -> None:
        """Make the folder before Hydra does, so that two runs begun in one second never share one."""
        from hydra.core.hydra_config import HydraConfig

        HydraConfig.instance().set_config(cfg)
        self.folder = Path(str(OmegaConf.select(cfg, key)))
        if not any(override.lstrip("+").startswith(f"{key}=") for override in self._flags.overrides):
            self.folder = new_folder(self.folder)
            self._flags.overrides = [*self._flags.overrides, f"{key}={quoted(str(self.folder))}"]

    def multirun(self, task: Callable[[Composed], Any]) -> None:
        """Hand the sweep to Hydra's sweeper and launcher; `task` is called for each job until one raises."""
        ended: list[Any] = []
        with self._readable_errors():
            self._claim_folder(self._hydra_config(self._flags.overrides, multirun=True), "hydra.sweep.dir")
            self._hydra.multirun(
                self._name, self._task(task, ended), list(self._flags.overrides), with_log_configuration=False
            )
        for end in ended:
            if isinstance(end, Exception):
                raise end

    def show(self) -> None:
        """`--cfg`, `--info`, `--hydra-help` and `--shell-completion`, as Hydra prints them."""
        flags, overrides = self._flags, list(self._flags.overrides)
        with self._readable_errors():
            if flags.cfg:
                self._hydra.show_cfg(self._name, overrides, flags.cfg, flags.package, resolve=flags.resolve)
            elif flags.info is not None:
                self._hydra.show_info(flags.info, config_name=self._name, overrides=overrides)
            elif flags.shell_completion:
                self._hydra.shell_completion(config_name=self._name, overrides=overrides)
            else:
                from hydra._internal.utils import get_args_parser

                self._hydra.hydra_help(config_name=self._name, args_parser=get_args_parser(), args=flags)

    def search(self) -> tuple[Path, ...]:
        """The folders of the search path, first wins; Hydra's own package is not a folder."""
        entries = [entry.path for entry in self._hydra.config_loader.get_search_path().get_path()]
        paths = [path.removeprefix("file://") for path in entries]
        return tuple(Path(path) for path in paths if "://" not in path)

    def _as_composed(self, job: DictConfig, hydra: Any, folder: Path | None = None) -> Composed:
        source = ConfigSource(self.search(), self.named(), tuple(hydra.overrides.task))
        return Composed(job, dict(hydra.runtime.choices), source, folder)

    def named(self) -> tuple[Path, ...]:
        """The folders of the search path that the command line names, not a config and not the record of a run."""
        folder = None if getattr(self._flags, "from_record", False) else self._flags.config_dir
        shipped = Path(self._flags.config_path or conf_dir()).resolve()
        return (shipped,) if folder is None else (Path(folder).resolve(), shipped)

    def _readable_errors(self) -> AbstractContextManager[None]:
        return readable_errors(self.search(), self._flags.overrides)

    def _task(self, task: Callable[[Composed], Any], ended: list[Any]) -> Callable[[DictConfig], None]:
        """`task` as Hydra calls it. Its result or exception goes to `ended`: Hydra would print a report of its own."""

        def call(cfg: DictConfig) -> None:
            from hydra.core.hydra_config import HydraConfig

            if any(isinstance(end, Exception) for end in ended):
                return
            whole: Any = HydraConfig.instance().cfg
            folder = Path(whole.hydra.runtime.output_dir)
            try:
                ended.append(task(self._as_composed(cfg, whole.hydra, folder)))
            except Exception as error:
                ended.append(error)

        return call


def new_folder(wanted: Path) -> Path:
    """Make the folder `wanted`, or the first of `wanted-2`, `wanted-3`, ... that is not there yet. Raises `OSError`."""
    folder, count = wanted, 1
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not folder.is_dir():
                raise
            count += 1
            folder = Path(f"{wanted}-{count}")


def refuse_partial_root(file: Path) -> None:
    """A user's own root config takes the place of ours, so it must begin with ours or name the groups itself."""
    if not file.is_file():
        return
    try:
        data = load_yaml(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {' '.join(str(error).split())}.") from None
    listed = data.get("defaults") if isinstance(data, dict) else None
    listed = listed if isinstance(listed, list) else []
    named = {str(name).split()[-1] for entry in listed for name in (entry if isinstance(entry, dict) else [entry])}
    if ROOT_CONFIG not in named and not {"pipeline", "tier", "device"} <= named:
        raise UsageError(
            f"{file} takes the place of Headroom's own {file.name} and leaves out its defaults. "
            f"Begin it with `defaults: [{ROOT_CONFIG}, _self_]`: then its settings are added to ours."
        )


def refuse_unknown_experiments(overrides: Sequence[str], search: Sequence[Path]) -> None:
    """Hydra takes `experiment=x` for a plain value where no folder has the group; then it would do nothing, silently."""
    known = set(catalog.options(search, "experiment")) | {"null", ""}
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        unknown = [name for name in value.strip("[]").split(",") if name.strip() not in known]
        if key == "experiment" and unknown:
            raise UsageError(no_experiment(unknown[0].strip(), search))


def _register_resolvers() -> None:
    def digest8(overrides: Any) -> str:
        return hashlib.sha256("\n".join(str(override) for override in overrides).encode()).hexdigest()[:8]

    def or_several(choice: Any) -> str:
        """The name of what was chosen; a sweep over it has not chosen one."""
        return "several" if choice in (None, "None", "???") else str(choice)

    OmegaConf.register_new_resolver("digest8", digest8, replace=True)
    OmegaConf.register_new_resolver("or_several", or_several, replace=True)
