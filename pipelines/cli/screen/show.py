"""Plans, runs and sweeps as text for people: tables that read well at 80 columns. Decides nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipelines.inputs.items import sequence_of
from pipelines.schema.plan import Load, Plan, Run, Step, Unload
from pipelines.schema.units import MIB, format_bytes, format_seconds
from pipelines.session.prepare import Prepared

#: Longer plans are cut in the middle on screen; plan.json always has all of it.
MAX_STEPS = 40
#: Characters a line, where no terminal says how many.
UNFOLDED = 500
_STYLE = {"load": "cyan", "prefetch": "cyan", "run": "bold", "unload": "magenta"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader has seen enough (`| head`): what is done goes on, silently, and its exit code stays its own."""
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, self.file.fileno())
        os.close(sink)
        self.quiet = True


def console(**options: Any) -> Console:
    """A console for people: colours only on terminals, and never with NO_COLOR. Nothing is folded in a file or a pipe."""
    made = _Console(highlight=False, markup=False, emoji=False, **options)  # a file may be called [a] or :cat:
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = UNFOLDED
    return made


def table(*columns: str, right: Iterable[int] = ()) -> Table:
    """A plain table: no boxes, headings dim, numbers to the right, the first column (a name) never folded."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for index, name in enumerate(columns):
        side = "right" if index in set(right) else "left"
        made.add_column(name, justify=side, overflow="fold", no_wrap=index == 0)  # type: ignore[arg-type]
    return made


def heading(prepared: Prepared, plan: Plan) -> Text:
    """One line that says what is planned, for what and where."""
    settings, items = prepared.inventory.settings, prepared.inventory.items
    tasks = len(prepared.choice.problem.tasks)
    return Text.assemble(
        (settings.pipeline.name, "bold"),
        f" on {sequence_of(items)}, tier {settings.tier.name}{_at_most(prepared, plan)}, residency {settings.tier.residency}, "
        f"{prepared.device.name}: "
        f"{tasks} task{'s' * (tasks != 1)}, {len(plan.steps)} step{'s' * (len(plan.steps) != 1)}",
    )


def _at_most(prepared: Prepared, plan: Plan) -> str:
    """What the tier leaves of the device, where that is not all of it."""
    limit = plan.limit_bytes
    return f" (at most {format_bytes(limit)})" if limit is not None and limit < prepared.device.total_bytes else ""


def show_plan(out: Console, prepared: Prepared, plan: Plan) -> None:
    """Heading, notes, steps, stages and the verdict."""
    out.print(heading(prepared, plan))
    for note in prepared.notes:
        out.print(Padding(Text(note, style="dim"), (0, 0, 0, 2), expand=False))
    out.print()
    out.print(steps_table(plan, limit=plan.limit_bytes, context=prepared.choice.problem.context_bytes))
    out.print()
    out.print(verdict(plan))
    if not plan.peak_bytes and prepared.device.memory != "host":
        out.print("Nothing of it uses the card: every variant that was chosen runs on the CPU.")


def steps_table(plan: Plan, *, limit: int | None, context: int) -> Table:
    """The steps with the bytes of each, as they will be held."""
    of = f"of {limit / MIB:,.0f}" if limit else ""
    made = table("#", "step", "what", "MiB", of, right=(0, 3))
    made.add_row(
        "", "", Text("the process and its libraries", style="dim"), f"{context / MIB:,.0f}", _bar(context, limit)
    )
    for index, step in enumerate(plan.steps):
        if len(plan.steps) > MAX_STEPS and MAX_STEPS // 2 <= index < len(plan.steps) - MAX_STEPS // 2:
            if index == MAX_STEPS // 2:
                made.add_row(
                    "", "", Text(f"... {len(plan.steps) - MAX_STEPS} more steps, all in plan.json ...", style="dim")
                )
            continue
        op, what, size = _row(step)
        made.add_row(str(index + 1), Text(op, style=_STYLE[op]), Text(what), f"{size / MIB:,.0f}", _bar(size, limit))
    return made


def _row(step: Step) -> tuple[str, str, int]:
    if isinstance(step, Run):
        return "run", ", ".join(step.tasks), step.peak_bytes
    if isinstance(step, Unload):
        return "unload", step.model, step.resident_bytes
    assert isinstance(step, Load)
    if step.during is None:
        return "load", step.model, step.resident_bytes
    return "prefetch", f"{step.model} during {step.during}", step.resident_bytes


def _bar(size: int, limit: int | None, width: int = 16) -> Text:
    if not limit:
        return Text("")
    filled = min(width, round(width * size / limit))
    return Text("█" * filled + "·" * (width - filled), style="green" if size <= 0.9 * limit else "yellow")


def verdict(plan: Plan) -> Text:
    """Peak, headroom, times, and what is proved."""
    if plan.limit_bytes is None:
        room = f"Peak {format_bytes(plan.peak_bytes)}, no limit"
    else:
        left = plan.limit_bytes - plan.peak_bytes
        room = (
            f"Peak {format_bytes(plan.peak_bytes)} of {format_bytes(plan.limit_bytes)}, headroom {format_bytes(left)}"
        )
    gap = plan.cost - plan.lower_bound
    proof = "proved least" if plan.proved_optimal else f"at most {format_seconds(gap)} above the least possible"
    what = "loading" if plan.objective == "load" else "makespan"
    times = f"loading {format_seconds(plan.load_seconds)}, all {format_seconds(plan.makespan_seconds)} (estimates); {what} {proof}."
    return Text.assemble((room, "bold"), ". ", times[:1].upper() + times[1:])
