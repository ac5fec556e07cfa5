"""Tables of docs/nodes, made from the node classes, conf/model and benchmarks/results, so that the pages cannot say otherwise.

`python -m tests.docs.tables --write` remakes what stands in a page between `<!-- table: WHAT NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.config.variants import read_variant
from pipelines.schema.config import Footprint, Item, Variant, evaluate
from pipelines.schema.units import KIB, MIB
from tests.docs.results import measured

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "nodes"
_BLOCK = re.compile(r"(<!-- table: (\w+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LICENCE = re.compile(r"^licence: .+?\s+# weights: (?P<weights>.+); code: (?P<code>.+)$", re.MULTILINE)
#: What workspaces are shown for: a song of four minutes, and for speech a text of 500 characters.
EXAMPLE = Item("example", seconds=240.0, channels=2, characters=500)
_TERMS = {
    "base": "", "per_second": " a second", "per_channel_second": " a second and channel", "per_character": " a character",
    "per_batch": " x batch", "per_batch_second": " x batch a second", "per_segment_second": " a second of segment",
    "per_whole_segment_second": " a second of segment",
}  # fmt: skip


def renewed(page: str) -> str:
    """The text of a page with every table as it should be now."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](found[3])}\n\n{found[4]}", page)


def variants(role: str) -> list[Variant]:
    """Of a role, best first, without `auto`."""
    files = (path for path in (ROOT / "conf" / "model" / role).glob("*.yaml") if path.stem != "auto")
    found = [read_variant(role, path.stem, yaml.safe_load(path.read_text(encoding="utf-8"))) for path in files]
    return sorted(found, key=lambda variant: (-variant.quality, variant.name))


def licences(variant: Variant) -> tuple[str, str]:
    """Of the weights and of the code, as the variant's file says beside `licence:`."""
    text = (ROOT / "conf" / "model" / f"{variant.name}.yaml").read_text(encoding="utf-8")
    found = _LICENCE.search(text)
    if found is None:
        raise ValueError(f"conf/model/{variant.name}.yaml: the licence needs `# weights: ...; code: ...` beside it.")
    return found["weights"], found["code"]


def knobs(target: str) -> dict[str, tuple[Any, str]]:
    """Knob -> (the class's default, what its docstring says of it; empty where it says nothing)."""
    node = _class(target)
    parameters = {
        name: parameter.default
        for name, parameter in inspect.signature(node).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    message = _stated(" ".join((inspect.getdoc(node) or "").replace("`", "").split()), set(parameters))
    return {name: (default, message.get(name, "")) for name, default in parameters.items()}


def _stated(text: str, names: set[str]) -> dict[str, str]:
    """`a: ... b, c: ...` apart, by the names it is about."""
    heads = [
        (found.start(), found.end(), found[1].split(", "))
        for found in re.finditer(r"(?<![^\s])((?:\w+, )*\w+): ", text)
        if set(found[1].split(", ")) <= names
    ]
    ends = [*(start for start, _, _ in heads[1:]), len(text)][: len(heads)]
    return {name: text[end:until].strip() for (_, end, about), until in zip(heads, ends, strict=True) for name in about}


def _class(target: str) -> type[Any]:
    module, _, name = target.rpartition(".")
    node: type[Any] = getattr(importlib.import_module(module), name)
    return node


def _ports(target: str) -> str:
    node = _class(target)
    sides = (("in", node.inputs), ("out", node.outputs))
    return _table(
        ("", "port", "type", "what"),
        [
            (side, f"`{name}`", port.type, port.about + (" (optional)" if port.optional else ""))
            for side, ports in sides
            for name, port in ports.items()
        ],
    )


def _variants(role: str) -> str:
    rows = []
    for variant in variants(role):
        weights, code = licences(variant)
        terms = "yes" if variant.commercial_use else f"**no**; needs `accept_licence=[{_stem(variant)}]`"
        rows.append((f"`{_stem(variant)}`", f"{variant.quality:g}", variant.about, weights, code, terms))
    return _table(("variant", "quality", "what", "licence of the weights", "of the code", "commercial use"), rows)


def _knobs(role: str) -> str:
    """A table for each node class of a role, or of one class by its dotted name."""
    if "." in role:
        return _knob_table(knobs(role), {})
    by_target: dict[str, list[Variant]] = {}
    for variant in variants(role):
        by_target.setdefault(variant.target, []).append(variant)
    parts = []
    for target, group in by_target.items():
        names = ", ".join(f"`{_stem(variant)}`" for variant in group)
        set_to = {
            name: {_stem(v): v.knobs.get(name, default) for v in group} for name, (default, _) in knobs(target).items()
        }
        parts.append(f"{names}:\n\n{_knob_table(knobs(target), set_to)}")
    return "\n\n".join(parts)


def _knob_table(known: Mapping[str, tuple[Any, str]], set_to: Mapping[str, Mapping[str, Any]]) -> str:
    if not known:
        return "No knobs."
    return _table(
        ("knob", "default", "meaning"),
        [
            (f"`{name}`", _default(set_to.get(name) or {"": default}), message)
            for name, (default, message) in known.items()
        ],
    )


def _default(values: Mapping[str, Any]) -> str:
    """One value where all variants have the same, else each with its variants."""
    by_value: dict[str, list[str]] = {}
    for variant, value in values.items():
        by_value.setdefault("none" if value in (None, "") else f"{value}", []).append(variant)
    if len(by_value) == 1:
        return next(iter(by_value))
    most = max(by_value.values(), key=len)
    return "; ".join(
        f"{value} ({'the others' if names is most and len(names) > 2 else ', '.join(names)})"
        for value, names in by_value.items()
    )


def _footprints(role: str) -> str:
    rows, sources = [], {}
    for variant in variants(role):
        for memory, where in (("accelerator", "card"), ("host", "CPU")):
            says = variant.footprints.get(memory)
            if says is not None and (memory == "host" or _holds(says)):
                rows.append((f"`{_stem(variant)}`", where, *_footprint_cells(says, variant.knobs)))
                sources.setdefault(f"{where}: {says.source}", []).append(f"`{_stem(variant)}`")
    columns = ("variant", "on", "weights", "while loading", "workspace", "for the example", "libraries, once a process")
    head = (
        f"Declared in `conf/model/{role}/`; `headroom measure {role}/NAME` replaces it by what it is on your machine. The example is "
        "a stereo song of 4 minutes, or a text of 500 characters, with the knobs of the variant."
    )
    return "\n".join([head, "", _table(columns, rows), "", *_source_lines(sources)])


def _holds(says: Footprint) -> bool:
    """Whether it takes anything of a card."""
    return bool(says.weights or any(says.workspace.values()) or says.context)


def _source_lines(sources: Mapping[str, Sequence[str]]) -> Iterator[str]:
    return (f"- {', '.join(names)}, {source}." for source, names in sources.items())


def _node(target: str) -> str:
    """What a node without variants declares."""
    says = getattr(_class(target), "footprint", None) or Footprint(source="nothing is declared: planned as nothing")
    columns = ("workspace", "for the example", "libraries, once a process", "source")
    cells = _footprint_cells(says, {})[2:]
    return _table(columns, [(*cells, says.source)])


def _footprint_cells(says: Footprint, knobs_: Mapping[str, Any]) -> tuple[str, ...]:
    peak = says.weights if says.load_peak is None else says.load_peak
    terms = " + ".join(f"{_size(count)}{_TERMS[name]}" for name, count in says.workspace.items() if count)
    libraries = ", ".join(f"{name} {_size(count)}" for name, count in says.context.items())
    example = round(evaluate(says.workspace, EXAMPLE, knobs_))
    return (_size(says.weights), _size(peak), terms or "0", _size(example), libraries or "none")


def _size(count: int) -> str:
    if count == 0:
        return "0"
    return (
        f"{count / MIB:,.0f} MiB"
        if count >= 10 * MIB
        else f"{count / MIB:.3g} MiB"
        if count >= MIB / 10
        else f"{count / KIB:.0f} KiB"
    )


def _stem(variant: Variant) -> str:
    return variant.name.partition("/")[2]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (columns, ["---"] * len(columns), *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


TABLES = {
    "variants": _variants, "knobs": _knobs, "footprints": _footprints, "node": _node, "ports": _ports, "measured": measured,
}  # fmt: skip


def main() -> int:
    """Names the pages that are behind; with `--write` brings them up to date."""
    behind = [
        path
        for path in sorted(PAGES.glob("*.md"))
        if renewed(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")
    ]
    for path in behind:
        if "--write" in sys.argv:
            path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(path)
    return 0 if "--write" in sys.argv else min(len(behind), 1)


if __name__ == "__main__":
    sys.exit(main())
