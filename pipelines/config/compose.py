"""Hydra, driven from outside: composes the config tree, keeps Hydra's own flags working, and refuses what could run code."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf

import pipelines
from pipelines.config import catalog
from pipelines.config.catalog import load_yaml, refuse_bombs
from pipelines.config.device import read_device
from pipelines.config.options import INPUTS, ITEM_SETTINGS, RUN_OPTIONS, check_options
from pipelines.config.sentences import ROOT_CONFIG, is_there, no_experiment, no_flag, not_a_setting, sentences
from pipelines.schema.errors import UsageError
from pipelines.schema.settings import ConfigSource

CONFIG_NAME = "config"
#: Values of these keys are quoted for Hydra, so that names with spaces, commas and accents work as typed.
QUOTED = ("input", "text", "lyrics", "voice", "artist", "title", "weights_dir", "outputs_dir", "translations", "genre")
_OVERRIDE = re.compile(r"^([+~]{0,2})([A-Za-z_][\w./@-]*)=(.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Composed:
    """A composed config. cfg: without `hydra`. choices: group -> option chosen. folder: of the run, where one was made."""

    cfg: DictConfig
    choices: Mapping[str, str]
    source: ConfigSource
    folder: Path | None = None


def conf_dir() -> Path:
    """The config tree that ships with Headroom: inside the package when installed, beside it in a checkout."""
    package = Path(pipelines.__file__).parent
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


def parse_hydra_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's own flags and the overrides among `arguments`. Unknown flags are a `UsageError`."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse would print Hydra's usage and exit
    flags, unknown = parser.parse_known_intermixed_args([quote(argument) for argument in arguments])
    search = [*([Path(flags.config_dir)] if flags.config_dir else []), conf_dir()]
    strange = [argument for argument in unknown if argument.startswith("-")]
    if strange:
        known = [option for action in parser._actions for option in action.option_strings]
        raise UsageError(no_flag(strange[0], known, search))
    for index, word in enumerate(flags.overrides):
        if "=" not in word and not word.startswith("~"):
            raise UsageError(not_a_setting(flags.overrides, index, search))
    flags.overrides = [*from_environment(flags.overrides), *map(_as_listed, flags.overrides)]
    return flags


def _refuse(message: str) -> NoReturn:
    raise UsageError(f"{message[:1].upper()}{message[1:]}. See `headroom --help`.")


def _as_listed(override: str) -> str:
    """`+experiment=x`, as Hydra's own pages have it; our defaults list the group already, and then Hydra wants no plus."""
    return override.lstrip("+") if override.lstrip("+").startswith("experiment=") else override


def from_environment(given: Sequence[str]) -> tuple[str, ...]:
    """Overrides that stand for the environment's variables, and for those of a `.env` file in this folder."""
    from pipelines.config.environment import overrides, read_dotenv

    return overrides(os.environ, read_dotenv(Path(".env")), given)


def quote(argument: str) -> str:
    """Quote the value of a free-text override for Hydra's grammar; leave lists, quotes already there and the rest alone."""
    match = _OVERRIDE.match(argument)
    if match is None or match[2] not in QUOTED:
        return argument
    value = match[3]
    listed = value[:1] + value[-1:] in ("[]", "''", '""')
    if value in ("", "null") or (listed and not is_there(value)):
        return argument
    escaped = re.sub(r"(\\*)'", lambda m: m[1] * 2 + "\\'", value).replace("${", "\\${")
    trailing = re.search(r"\\+$", escaped)
    return f"{match[1]}{match[2]}='{escaped}{trailing[0] if trailing else ''}'"


class Composer:
    """One Hydra instance over the shipped tree and the user's own folder (`-cd`). Use as a context manager."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self._name = flags.config_name or CONFIG_NAME
        #: The run or sweep folder, once it was claimed.
        self.folder: Path | None = None

    def __enter__(self) -> Composer:
        from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
        from hydra._internal.hydra import Hydra
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
        guarded: Any = type("GuardedHydra", (Hydra,), {"compose_config": _guarded(Hydra.compose_config)})
        self._hydra: Any = guarded.create_main_hydra2("headroom", search)
        self._hydra.config_loader._process_config_searchpath = _guarded_search(self._hydra.config_loader)
        refuse_unknown_experiments(self._flags.overrides, self.search())
        return self

    def __exit__(self, *error: object) -> None:
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()

    @property
    def is_show(self) -> bool:
        """Whether Hydra was only asked to show something."""
        flags = self._flags
        return bool(flags.cfg or flags.info is not None or flags.hydra_help or flags.shell_completion)

    def compose(self) -> Composed:
        """The config without running anything: no folder is made."""
        from hydra.core.hydra_config import HydraConfig

        cfg = self._compose()
        HydraConfig.instance().set_config(cfg)
        with self._sentences():
            job = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
            return self._as_composed(job, cfg.hydra)

    def _compose(self) -> DictConfig:
        """Compose, with the tier's own name where `tier=auto` stands, so that folders and records name what was used."""
        from pipelines.config.tier import detected_tier

        overrides = self._flags.overrides
        named = [override.partition("=")[2] for override in overrides if override.startswith("tier=")]
        if not named or named[-1] == "auto":
            cfg = self._composed([override for override in overrides if not override.startswith("tier")])
            if cfg.hydra.runtime.choices.get("tier") == "auto":
                with self._sentences():
                    device = read_device(OmegaConf.to_container(cfg.device, resolve=True))
                streams = [override for override in overrides if override.lstrip("+").startswith("tier.streams=")]
                found = "cpu" if streams and streams[-1].endswith("=0") else detected_tier(device, self.search())
                self._flags.overrides = [f"tier={found}", *(o for o in overrides if not o.startswith("tier="))]
        cfg = self._composed(self._flags.overrides)
        with self._sentences():
            plain = [key for key in (*RUN_OPTIONS, *INPUTS, *ITEM_SETTINGS) if key in cfg]
            data: Any = OmegaConf.to_container(OmegaConf.masked_copy(cfg, plain), resolve=True)
            check_options(data)
        return cfg

    def _composed(self, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
        from hydra.types import RunMode

        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        with self._sentences():
            cfg: DictConfig = self._hydra.compose_config(
                self._name, list(overrides), mode, with_log_configuration=False
            )
        return cfg

    def run(self, task: Callable[[Composed], Any]) -> Any:
        """Compose, make the run folder with `.hydra/` in it, and call `task`. Its exceptions pass through."""
        self._claim(self._compose(), "hydra.run.dir")
        ended: list[Any] = []
        self._hydra.run(self._name, self._task(task, ended), list(self._flags.overrides), with_log_configuration=False)
        if isinstance(ended[0], Exception):
            raise ended[0]
        return ended[0]

    def _claim(self, cfg: DictConfig, key: str) -> None:
        """Make the folder before Hydra does, so that two runs begun in one second never share one."""
        from hydra.core.hydra_config import HydraConfig

        HydraConfig.instance().set_config(cfg)
        wanted = str(OmegaConf.select(cfg, key))
        named = any(override.lstrip("+").startswith(f"{key}=") for override in self._flags.overrides)
        self.folder, count = Path(wanted), 1
        while not named:
            try:
                self.folder.mkdir(parents=True)
                break
            except FileExistsError:
                if not self.folder.is_dir():
                    raise
                count += 1
                self.folder = Path(f"{wanted}-{count}")
        if not named:
            escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", str(self.folder))
            self._flags.overrides = [*self._flags.overrides, f"{key}='{escaped}'"]

    def multirun(self, task: Callable[[Composed], Any]) -> None:
        """Hand the sweep to Hydra's sweeper and launcher; `task` is called for each job until one raises."""
        ended: list[Any] = []
        with self._sentences():
            self._claim(self._composed(self._flags.overrides, multirun=True), "hydra.sweep.dir")
            self._hydra.multirun(
                self._name, self._task(task, ended), list(self._flags.overrides), with_log_configuration=False
            )
        for end in ended:
            if isinstance(end, Exception):
                raise end

    def show(self) -> None:
        """`--cfg`, `--info`, `--hydra-help` and `--shell-completion`, as Hydra prints them."""
        flags, overrides = self._flags, list(self._flags.overrides)
        with self._sentences():
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
        """The folders of the search path that nobody's config put there."""
        folder = None if getattr(self._flags, "from_record", False) else self._flags.config_dir
        shipped = Path(self._flags.config_path or conf_dir()).resolve()
        return (shipped,) if folder is None else (Path(folder).resolve(), shipped)

    def _sentences(self) -> sentences:
        return sentences(self.search(), self._flags.overrides)

    def _task(self, task: Callable[[Composed], Any], ended: list[Any]) -> Callable[[DictConfig], None]:
        """`task` as Hydra calls it. How it ended is kept from Hydra, which would print a report of its own."""

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
            f"Begin it with `defaults: [{ROOT_CONFIG}, _self_]`: then what it says is added to ours."
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


def _guarded(original: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    def compose_config(self: Any, *args: Any, **kwargs: Any) -> DictConfig:
        cfg = original(self, *args, **kwargs)
        refuse_foreign_code(cfg.hydra)
        return cfg

    return compose_config


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
