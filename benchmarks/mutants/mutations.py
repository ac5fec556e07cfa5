"""The faults that are tried: every place in a source text where one could be put, and the text with it.

A mutation replaces one stretch of one file, so the rest of the text and its line numbers stay:

    if held > room:      ->   if held >= room:         comparison (also negated: `if not (held > room):`)
    held += weight       ->   held -= weight           arithmetic
    a and b              ->   a or b                   boolean
    start, last = 0, -1  ->   start, last = 1, -1      constant (numbers, True and False; never text)
    return found         ->   return None              return
    held -= weight       ->   pass                     removed statement (assignments and calls)
    min(a, b)            ->   max(a, b)                call (min/max, any/all)

Left alone: annotations, decorators, docstrings and text, assertions, the `strict=` of `zip`, and what stands in f-strings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

_COMPARISONS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_ARITHMETIC = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*", ast.Pow: "*",
    ast.LShift: ">>", ast.RShift: "<<", ast.BitAnd: "|", ast.BitOr: "&", ast.BitXor: "|",
}  # fmt: skip
_WRITTEN = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


#: First and last line of the outermost function around a place, None outside of functions.
Scope = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Mutation:
    """One fault: characters `start` to `stop` of the text of `file` become `new`. `line` is counted from 1."""

    file: str
    line: int
    kind: str
    start: int
    stop: int
    new: str
    scope: Scope

    def apply(self, text: str) -> str:
        """`text`, the unchanged source, with the fault in it."""
        return text[: self.start] + self.new + text[self.stop :]


def mutations(file: str, text: str) -> list[Mutation]:
    """Every mutation of a source file, in order of place. Each leaves a text that compiles."""
    found = sorted(_Finder(file, text).module(), key=lambda m: (m.start, m.stop, m.kind, m.new))
    return [mutation for mutation in found if _compiles(mutation.apply(text))]


def _compiles(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _changes_something(node: ast.AST) -> TypeGuard[ast.stmt]:
    """Whether a statement can be left out without a name becoming unknown."""
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], ast.Name)
    return isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))


class _Finder:
    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.line_starts = [0]
        for line in text.splitlines(keepends=True):
            self.line_starts.append(self.line_starts[-1] + len(line))
        self.lines = text.splitlines(keepends=True)

    def module(self) -> Iterator[Mutation]:
        yield from self.inside(ast.parse(self.text), None)

    def inside(self, node: ast.AST, scope: Scope) -> Iterator[Mutation]:
        """The mutations of `node` and of what it holds."""
        if isinstance(node, ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            scope = scope or (first, node.end_lineno or node.lineno)
        yield from self.own(node, scope)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_comment"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.keyword) and child.arg == "strict":
                    continue
                if isinstance(child, ast.AST):
                    yield from self.inside(child, scope)

    def own(self, node: ast.AST, scope: Scope) -> Iterator[Mutation]:
        """The mutations of `node` itself."""
        yield from self.operators(node, scope)
        yield from self.values(node, scope)
        if scope is not None:
            yield from self.statements(node, scope)

    def operators(self, node: ast.AST, scope: Scope) -> Iterator[Mutation]:
        """Another operator in place of the one between two expressions."""
        if isinstance(node, ast.Compare):
            lefts = [node.left, *node.comparators]
            for left, operator, right in zip(lefts, node.ops, node.comparators, strict=False):
                new = _COMPARISONS[type(operator)]
                yield from self.between(left, right, _WRITTEN[type(operator)], new, "comparison", scope)
        elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            old, new = _WRITTEN[type(node.op)], _ARITHMETIC[type(node.op)]
            yield from self.between(node.left, node.right, old, new, "arithmetic", scope)
        elif isinstance(node, ast.BoolOp):
            old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from self.between(left, right, old, new, "boolean", scope)

    def values(self, node: ast.AST, scope: Scope) -> Iterator[Mutation]:
        """Another condition, constant, result or function."""
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            yield self.replaced(node.test, f"not ({self.source(node.test)})", "comparison", scope)
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield self.replaced(node, repr(not node.value), "constant", scope)
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield self.replaced(node, repr(node.value + 1), "constant", scope)
        elif isinstance(node, ast.Return) and node.value is not None and self.source(node.value) != "None":
            yield self.replaced(node.value, "None", "return", scope)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            yield self.replaced(node.func, _CALLS[node.func.id], "call", scope)

    def statements(self, node: ast.AST, scope: Scope) -> Iterator[Mutation]:
        """`pass` in place of a statement that changes something, `break` and `continue` exchanged."""
        if _changes_something(node):
            yield self.replaced(node, "pass", "removed statement", scope)
        if isinstance(node, ast.AugAssign):
            old, new = _WRITTEN[type(node.op)], _ARITHMETIC[type(node.op)]
            yield from self.between(node.target, node.value, f"{old}=", f"{new}=", "arithmetic", scope)
        elif isinstance(node, ast.Break | ast.Continue):
            new = "continue" if isinstance(node, ast.Break) else "break"
            yield self.replaced(node, new, "removed statement", scope)

    def between(
        self, left: ast.expr, right: ast.expr, old: str, new: str, kind: str, scope: Scope
    ) -> Iterator[Mutation]:
        """The operator `old` that stands between two expressions, as `new`."""
        start = self.offset(left.end_lineno or left.lineno, left.end_col_offset or 0)
        stop = self.offset(right.lineno, right.col_offset)
        at = self.text.find(old, start, stop)
        if at >= 0:
            yield Mutation(self.file, left.end_lineno or left.lineno, kind, at, at + len(old), new, scope)

    def replaced(self, node: ast.expr | ast.stmt, new: str, kind: str, scope: Scope) -> Mutation:
        start = self.offset(node.lineno, node.col_offset)
        stop = self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return Mutation(self.file, node.lineno, kind, start, stop, new, scope)

    def source(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text, node) or ""

    def offset(self, line: int, column: int) -> int:
        """The character that AST's line and column (in bytes of UTF-8) stand for."""
        return self.line_starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())
