"""Whether a variant may be used here and now: licence accepted, modules, environment and weights there; if not, what to type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.config import catalog
from pipelines.paths import user_folders
from pipelines.schema.config import Variant
from pipelines.schema.errors import HeadroomError, TaskFailed, UsageError
from pipelines.schema.settings import Settings
from pipelines.weights import WeightsLocation, locate
from pipelines.weights.locations import fetch_command
from pipelines.weights.spec import WeightsSpec


@dataclass(frozen=True, slots=True)
class Availability:
    """What decides. home: the weights folder. accepted: licences the user agreed to, by variant. named: folders whose files
    may say what to install. trusted: packages whose node classes may be asked."""

    home: Path
    accepted: frozenset[str]
    offline: bool
    named: tuple[Path, ...] = ()
    trusted: tuple[str, ...] = ()

    @staticmethod
    def of(settings: Settings, trusted: Sequence[str] = ()) -> Availability:
        """As the settings say."""
        options = settings.options
        home = user_folders(options.weights_dir).weights
        return Availability(
            home, frozenset(options.accept_licence), options.offline, settings.source.named, tuple(trusted)
        )

    def find(self, variant: Variant) -> WeightsLocation:
        """Where it lies and what of it is missing."""
        return locate(variant, self.home)

    def consent_lacking(self, variant: Variant) -> str:
        """The sentence for a licence that nobody accepted yet, `""` where none needs to be."""
        if not needs_consent(variant, self.trusted) or {variant.name, variant.stem, variant.origin} & self.accepted:
            return ""
        licence = variant.licence or "terms that must be accepted"
        return f"its licence ({licence}) must be accepted first with accept_licence=[{variant.stem}]"

    def pinned(self, variant: Variant) -> tuple[WeightsLocation, str]:
        """For a variant the user named: (what was found, a line to show or `""`).

        Raises `UsageError` (licence, untrusted environment) or `TaskFailed` (nothing to fetch, or not allowed to).
        """
        if lacking := self.consent_lacking(variant):
            raise UsageError(f"{variant.name} was asked for, but {lacking}. Read it, then add that flag if you agree.")
        self.check_environment(variant)
        found = self.find(variant)
        if not found.missing:
            return found, ""
        if found.fetchable and not self.offline:
            return (
                found,
                f"{variant.name}: {found.missing}. `headroom run` fetches what is missing first{_size(variant)}.",
            )
        offline = " offline=true fetches nothing:" if found.fetchable else ""
        advice = (
            f"`{fetch_command(variant)}` gets them where there is a network" if found.fetchable else "put them there"
        )
        raise TaskFailed(
            f"{variant.name} was asked for, but {found.missing}.{offline} {_capital(advice, offline)}, or name another with "
            f"model/{variant.role}=."
        )

    def chosen(self, variant: Variant) -> tuple[WeightsLocation, str]:
        """For one the plan may choose: (what was found, why it is passed over or `""`). Nothing is fetched for it."""
        found = self.find(variant)
        lacking = self.consent_lacking(variant)
        if lacking:
            return found, lacking
        if found.missing.startswith("no weights in "):
            return found, _NO_WEIGHTS
        if found.missing:
            return found, f"{found.brief} (`{fetch_command(variant)}`)" if found.fetchable else found.brief
        return found, "" if self.may_install(variant) else _UNTRUSTED

    def may_install(self, variant: Variant) -> bool:
        """Whether its `environment:` is word for word that of its file in the shipped tree or in the `-cd` folder."""
        if not variant.environment:
            return True
        group, name = f"model/{variant.role}", variant.stem
        for folder in self.named:
            if (folder / group / f"{name}.yaml").is_file():
                listed = catalog.read([folder], group, name).get("environment")
                return isinstance(listed, list) and tuple(map(str, listed)) == tuple(variant.environment)
        return False

    def check_environment(self, variant: Variant) -> None:
        """Raise `UsageError` where its list of packages is not from a place that may install any."""
        if not self.may_install(variant):
            raise UsageError(f"{variant.name}: {_UNTRUSTED}.")


def passed_over(passed: Iterable[tuple[Variant, str]]) -> list[str]:
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
    return lines


_NO_WEIGHTS = "no weights here"
_UNTRUSTED = "its environment: would install packages, which only the shipped config or a file in the folder given with -cd may ask for"


def needs_consent(variant: Variant, trusted: Sequence[str] = ()) -> bool:
    """Whether its file or its node class says that its licence must be accepted."""
    if variant.needs_consent:
        return True
    from pipelines.node_classes import node_class, trusted_packages

    try:
        return bool(getattr(node_class(variant.target, trusted or trusted_packages(())), "needs_consent", False))
    except HeadroomError:
        return False  # it cannot be used either way, and is told so by whoever makes it


def _size(variant: Variant) -> str:
    from pipelines.schema.units import format_bytes

    spec = WeightsSpec.of(variant)
    return f" ({format_bytes(spec.size)})" if spec and spec.size else ""


def _capital(text: str, before: str) -> str:
    return text if before else text[:1].upper() + text[1:]
