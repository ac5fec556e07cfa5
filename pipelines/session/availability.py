"""Whether a variant may be used here and now: licence accepted, modules, environment and weights there; if not, what to type.

`look_up` asks the disk once and answers with an `Availability`; what follows from it are pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines.config import catalog
from pipelines.node_classes import node_class, trusted_packages
from pipelines.paths import user_folders
from pipelines.schema.config import Variant
from pipelines.schema.errors import HeadroomError, TaskFailed, UsageError
from pipelines.schema.settings import Settings
from pipelines.schema.units import format_bytes
from pipelines.weights import WeightsLocation, locate
from pipelines.weights.environments import built_python
from pipelines.weights.locations import fetch_command


@dataclass(frozen=True, slots=True)
class WeightsPolicy:
    """What the settings say about using weights.

    Attributes
    ----------
    home : folder of local checkpoints.
    accepted : licences the user agreed to, by a variant's name or its file's.
    offline : whether fetching is forbidden.
    named : config folders whose files may say what to install.
    trusted : packages whose node classes may be asked.
    """

    home: Path
    accepted: frozenset[str]
    offline: bool
    named: tuple[Path, ...] = ()
    trusted: tuple[str, ...] = ("nodes",)

    @staticmethod
    def of(settings: Settings, trusted: tuple[str, ...] | None = None) -> WeightsPolicy:
        """From the settings. trusted: what may be named in all, ours and installed plugins' unless given."""
        options = settings.options
        return WeightsPolicy(
            home=user_folders(options.weights_dir).weights,
            accepted=frozenset(options.accept_licence),
            offline=options.offline,
            named=settings.source.named,
            trusted=trusted_packages() if trusted is None else trusted,
        )


@dataclass(frozen=True, slots=True)
class Availability:
    """What was found of one variant.

    Attributes
    ----------
    weights : where they lie, or what is missing.
    consent : the sentence for a licence that nobody accepted yet, `""` where none is needed.
    may_install : whether its `environment:` is from a place that may install packages.
    python : interpreter of its own environment, None where it has none or it is not built.
    """

    weights: WeightsLocation
    consent: str = ""
    may_install: bool = True
    python: Path | None = None

    @property
    def usable(self) -> bool:
        """Whether a run may use it as it is: nothing is fetched, installed or accepted first."""
        return not self.weights.missing and not self.consent and self.may_install


def look_up(variant: Variant, terms: WeightsPolicy) -> Availability:
    """Ask the disk about one variant. Reads no weights and needs no network."""
    return Availability(
        weights=locate(variant, terms.home),
        consent=_consent_lacking(variant, terms),
        may_install=_may_install(variant, terms),
        python=built_python(variant.environment) if variant.environment else None,
    )


def why_not(variant: Variant, found: Availability) -> str:
    """Why a variant that the plan may choose is passed over, `""` where it is usable."""
    if found.consent:
        return found.consent
    if found.weights.lacks_only_weights:
        return _NO_WEIGHTS
    if found.weights.missing:
        brief = found.weights.brief
        return f"{brief} (`{fetch_command(variant)}`)" if found.weights.fetchable else brief
    return "" if found.may_install else _UNTRUSTED


def check_pinned(variant: Variant, found: Availability, *, offline: bool) -> str:
    """A note for a variant that the user named, `""` where all of it is here.

    Raises `UsageError` (licence, untrusted environment) or `TaskFailed` (nothing to fetch, or not allowed to).
    """
    if found.consent:
        raise UsageError(
            f"{variant.name} was asked for, but {found.consent}. Read it, then add that flag if you agree."
        )
    check_environment(variant, found)
    missing, fetchable = found.weights.missing, found.weights.fetchable
    if not missing:
        return ""
    if fetchable and not offline:
        return f"{variant.name}: {missing}. `headroom run` fetches what is missing first{_size(variant)}."
    why = " offline=true fetches nothing:" if fetchable else ""
    advice = f"`{fetch_command(variant)}` gets them where there is a network" if fetchable else "Put them there"
    raise TaskFailed(
        f"{variant.name} was asked for, but {missing}.{why} {advice}, or name another with model/{variant.role}=."
    )


def check_environment(variant: Variant, found: Availability) -> None:
    """Raise `UsageError` where its list of packages is not from a place that may install any."""
    if not found.may_install:
        raise UsageError(f"{variant.name}: {_UNTRUSTED}.")


def passed_over(passed: Iterable[tuple[Variant, str]]) -> tuple[str, ...]:
    """A line for each role whose variants have no weights here, what to type for them, and a line for any other reason."""
    pairs = list(passed)
    lines = [f"{variant.name} passed over: {why}." for variant, why in pairs if why != _NO_WEIGHTS]
    absent = [variant for variant, why in pairs if why == _NO_WEIGHTS]
    for role in dict.fromkeys(variant.role for variant in absent):
        names = ", ".join(variant.name.partition("/")[2] for variant in absent if variant.role == role)
        lines.append(f"{role}: passed over {names} (no weights here).")
    if absent:
        fetch = fetch_command(absent[0]) if len(absent) == 1 else "headroom weights fetch ROLE/NAME"
        lines.append(f"`{fetch}` gets weights; `headroom weights list` says where they are looked for.")
    return tuple(lines)


_NO_WEIGHTS = "no weights here"
_UNTRUSTED = "its environment: would install packages, which only the shipped config or a file in the folder given with -cd may ask for"


def _consent_lacking(variant: Variant, terms: WeightsPolicy) -> str:
    if not _needs_consent(variant, terms) or {variant.name, variant.stem, variant.origin} & terms.accepted:
        return ""
    licence = variant.licence or "terms that must be accepted"
    return f"its licence ({licence}) must be accepted first with accept_licence=[{variant.stem}]"


def _needs_consent(variant: Variant, terms: WeightsPolicy) -> bool:
    """Whether its file or its node class says that its licence must be accepted."""
    if variant.needs_consent:
        return True
    try:
        return bool(getattr(node_class(variant.target, terms.trusted), "needs_consent", False))
    except HeadroomError:
        return False  # it cannot be used either way, and whoever makes it says so


def _may_install(variant: Variant, terms: WeightsPolicy) -> bool:
    """Whether its `environment:` is word for word that of its file in the shipped tree or in the `-cd` folder."""
    if not variant.environment:
        return True
    group = f"model/{variant.role}"
    for folder in terms.named:
        if (folder / group / f"{variant.stem}.yaml").is_file():
            listed = catalog.read([folder], group, variant.stem).get("environment")
            return isinstance(listed, list) and tuple(map(str, listed)) == tuple(variant.environment)
    return False


def _size(variant: Variant) -> str:
    spec = variant.weights
    return f" ({format_bytes(spec.size)})" if spec and spec.size else ""
