"""A pipeline, or a plan's stages, as Mermaid or DOT text. Draws only; measures nothing."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.graph.build import Graph


def mermaid(graph: Graph, labels: Mapping[str, str] | None = None) -> str:
    """A Mermaid flowchart; `labels` adds a second line to a node (its variant, its peak)."""
    lines = ["flowchart LR"]
    for name in graph.order:
        extra = f"<br/>{_plain(labels[name])}" if labels and labels.get(name) else ""
        lines.append(f'  {name}["{name}{extra}"]')
    for before, after in graph.edges:
        lines.append(f"  {before} -->|{_ports(graph, before, after)}| {after}")
    return "\n".join(lines) + "\n"


def dot(graph: Graph, labels: Mapping[str, str] | None = None) -> str:
    """A Graphviz digraph with the same content."""
    lines = ["digraph pipeline {", "  rankdir=LR; node [shape=box];"]
    for name in graph.order:
        extra = f"\\n{_plain(labels[name])}" if labels and labels.get(name) else ""
        lines.append(f'  "{name}" [label="{name}{extra}"];')
    for before, after in graph.edges:
        lines.append(f'  "{before}" -> "{after}" [label="{_ports(graph, before, after)}"];')
    return "\n".join([*lines, "}"]) + "\n"


def _ports(graph: Graph, before: str, after: str) -> str:
    sources = [source.partition(".") for source in graph.node(after).inputs.values()]
    return ", ".join(sorted(port for producer, _, port in sources if producer == before)) or "after"


def _plain(text: str) -> str:
    return text.replace('"', "'").replace("\\", "/")
