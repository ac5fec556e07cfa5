"""The JSON files Headroom reads and writes, field by field: their JSON Schemas and the tables of `docs/formats.md` come from here.

`python -m pipelines.schema.formats DOCS` rewrites `DOCS/formats.md` (its tables) and `DOCS/schemas/*.schema.json`.
The classes of this package read and write the files; a test holds both against each other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from pipelines.schema import plan, problem, record, refusal
from pipelines.schema.described import (
    ANY_TEXT,
    BYTES,
    COUNT,
    DIGEST,
    FLAG,
    NAMES,
    OBJECT,
    POSITIVE,
    SECONDS,
    TEXT,
    TEXTS,
    Field,
    Format,
    Record,
    array,
    mapping,
    nullable,
    one_of,
)


def _tag(name: str) -> Field:
    return Field("schema", {"const": name}, "which format, and which version of it, this file is in")


_LIMIT = "the most bytes the device may hold at any moment; null: no limit, 0: nothing fits"
_OBJECTIVE = "what is made least first: `load`: total load seconds, then makespan; `makespan`: the other way round"

MODEL = Record("Models", (
    Field("weights_bytes", BYTES, "bytes held while the model is resident"),
    Field("load_seconds", SECONDS, "seconds of its first load"),
    Field("reload_seconds", SECONDS, "seconds of every later load (default: `load_seconds`)", required=False),
    Field("load_peak_bytes", BYTES, "bytes held while it loads, at least `weights_bytes` (default: that)", required=False),
    Field("shareable", FLAG, "whether several tasks of one run step may use it at once", required=False, default=False),
), closed=True)  # fmt: skip

TASK = Record("Tasks", (
    Field("id", TEXT, "a name no other task has; Headroom's own are `item/node`, and `item/first+second` for nodes that stream"),
    Field("models", NAMES, "the models that must be resident while it runs; may be empty"),
    Field("workspace_bytes", BYTES, "bytes held while it runs, above weights and outputs", required=False, default=0),
    Field("seconds", SECONDS, "how long it runs", required=False, default=0.0),
    Field("output_bytes", BYTES, "bytes of a result that stays on the device, from the task's start to the end of its last "
          "successor, or of itself where it has none", required=False, default=0),
    Field("after", NAMES, "the tasks that must end before it starts"),
), closed=True)  # fmt: skip

PROBLEM = Format(problem.SCHEMA, Record("The whole file", (
    _tag(problem.SCHEMA),
    Field("objective", one_of(*problem.OBJECTIVES), _OBJECTIVE, required=False, default="load"),
    Field("limit_bytes", nullable(BYTES), _LIMIT),
    Field("context_bytes", BYTES, "bytes that the process and its libraries hold in every moment", required=False, default=0),
    Field("streams", {"type": "integer", "minimum": 1, "maximum": 64}, "how many tasks may run in one step", required=False, default=1),
    Field("seed", COUNT, "seed of the planner's randomised passes", required=False, default=0),
    Field("models", mapping(MODEL.schema()), "models by name: see Models"),
    Field("tasks", array(TASK.schema()), "see Tasks"),
), closed=True), (MODEL, TASK))  # fmt: skip

_RESIDENT = "context + weights + live outputs after the step"
LOAD = Record("A step that loads", (
    Field("op", {"const": "load"}, "what the step does"),
    Field("model", TEXT, "the model that is brought onto the device"),
    Field("during", TEXT, "of a prefetch: the task whose run it overlaps; it stands right before that run", required=False),
    Field("resident_bytes", BYTES, _RESIDENT),
))  # fmt: skip
RUN_STEP = Record("A step that runs", (
    Field("op", {"const": "run"}, "what the step does"),
    Field("tasks", NAMES, "the tasks that run together, at most `streams`"),
    Field("peak_bytes", BYTES, "the highest moment of the run: its workspaces and outputs count for its whole length"),
))  # fmt: skip
UNLOAD = Record("A step that unloads", (
    Field("op", {"const": "unload"}, "what the step does"),
    Field("model", TEXT, "the model whose weights leave the device"),
    Field("resident_bytes", BYTES, _RESIDENT),
))  # fmt: skip
STAGE = Record("Stages", (
    Field("index", COUNT, "number of the topological generation, from 0"),
    Field("tasks", NAMES, "its tasks"),
    Field("peak_bytes", BYTES, "the highest of the runs that hold them"),
))  # fmt: skip

PLAN = Format(plan.SCHEMA, Record("The whole file", (
    _tag(plan.SCHEMA),
    Field("objective", one_of(*problem.OBJECTIVES), "the problem's"),
    Field("limit_bytes", nullable(BYTES), "the problem's"),
    Field("peak_bytes", BYTES, "the highest moment of all, loading included; at least the context"),
    Field("load_seconds", SECONDS, "seconds of all loads, first and later ones"),
    Field("makespan_seconds", SECONDS, "the end of the last run"),
    Field("lower_bound", SECONDS, "seconds that no plan can go below, of the objective's first quantity"),
    Field("proved_optimal", FLAG, "true exactly where this plan meets `lower_bound`"),
    Field("method", ANY_TEXT, "which pass of the planner made it", required=False, default=""),
    Field("expansions", COUNT, "work the search spent, in states made and compared", required=False, default=0),
    Field("emergency_stop", {}, "always false; written for readers of earlier versions", required=False),
    Field("steps", array({"oneOf": [LOAD.schema(), RUN_STEP.schema(), UNLOAD.schema()]}), "in order: see the three kinds of step"),
    Field("stages", array(STAGE.schema()), "see Stages"),
)), (LOAD, RUN_STEP, UNLOAD, STAGE))  # fmt: skip

REFUSAL = Format(refusal.SCHEMA, Record("The whole object", (
    _tag(refusal.SCHEMA),
    Field("reason", TEXT, "why there is no plan, as a sentence"),
    Field("proved", FLAG, "true where no plan exists, false where the search ended before it found one"),
    Field("task", nullable(TEXT), "the task that alone does not fit; null where no single task is to blame"),
    Field("needed_bytes", nullable(BYTES), "of that task: context + weights + workspace + output + its predecessors' outputs, or the "
          "moment of its loading where that is higher"),
    Field("limit_bytes", nullable(BYTES), "the limit it had to fit"),
    Field("short_bytes", nullable(BYTES), "needed less limit"),
    Field("suggestions", TEXTS, "what would help, as sentences"),
)))  # fmt: skip

_SOURCE = (
    "how it was measured: `kernel` high-water mark, `driver`, `tracked` tensors, `declared` (not measured), "
    "`tracked+declared` (models of both kinds), or `sampled` (looked at again and again: short peaks may be missed)"
)
STEP_RECORD = Record("Steps", (
    Field("op", one_of("load", "run", "unload"), "what the step did"),
    Field("model", TEXT, "of a load or unload: the model", required=False),
    Field("tasks", NAMES, "of a run: its tasks", required=False),
    Field("during", TEXT, "of a prefetch: the task whose run it overlapped", required=False),
    Field("predicted_peak_bytes", nullable(BYTES), "its highest moment as planned, context included"),
    Field("measured_peak_bytes", nullable(BYTES), "its highest moment as measured, counted in the same way"),
    Field("source", TEXT, _SOURCE, required=False),
    Field("seconds", SECONDS, "wall time"),
))  # fmt: skip

_VARIANT = Record("Variants", (
    Field("name", TEXT, "role/variant, with what was changed of it (`@cpu`, `+batch=4`)"),
    Field("licence", ANY_TEXT, "of its weights and code"),
    Field("knobs", OBJECT, "its settings by name"),
    Field("weights_sha256", nullable(ANY_TEXT), "which bytes its weights are; null where a library brings them"),
))  # fmt: skip

RUN = Format(record.SCHEMA, Record("The whole file", (
    _tag(record.SCHEMA),
    Field("status", one_of(*record.STATUSES), "`running` until the end; a run that was killed stays so"),
    Field("exit_code", nullable(COUNT), "the command's exit code; null while it runs"),
    Field("seconds", SECONDS, "wall time of the whole run", required=False),
    Field("started", TEXT, "local time with its offset, ISO 8601"),
    Field("command", TEXTS, "as it was typed", required=False),
    Field("cwd", TEXT, "the folder it was typed in", required=False),
    Field("pipeline", TEXT, "name of the pipeline"),
    Field("tier", TEXT, "name of the tier"),
    Field("device", OBJECT, "`kind`, `name`, `total_bytes`", required=False),
    Field("limit_bytes", nullable(BYTES), "the limit that was in force", required=False),
    Field("seed", COUNT, "the run's seed; a task's own is made of it and the task's name", required=False),
    Field("variants", mapping(_VARIANT.schema()), "by node: see Variants", required=False),
    Field("inputs", mapping(OBJECT), "by item: `path` and `sha256`", required=False),
    Field("notes", TEXTS, "what a person was told before the run", required=False),
    Field("footprints", OBJECT, "`store`: digest of the measured footprints that were read; `frozen`: whether new ones were left out",
          required=False),
    Field("pid", COUNT, "process that ran it", required=False),
    Field("headroom", TEXT, "version of Headroom", required=False),
    Field("python", TEXT, "version of Python", required=False),
    Field("system", TEXT, "operating system and machine", required=False),
    Field("versions", mapping(ANY_TEXT), "installed versions of the libraries that matter", required=False),
    Field("git_revision", nullable(TEXT), "commit of the checkout, with `+changes` where files differ from it", required=False),
    Field("steps", array(STEP_RECORD.schema()), "in the order they ended: see Steps"),
    Field("predicted_peak_bytes", BYTES, "the plan's peak", required=False),
    Field("measured_peak_bytes", BYTES, "the highest measured moment", required=False),
    Field("artifacts", mapping(DIGEST), "SHA-256 of each result, by its path under `artifacts/`", required=False),
    Field("failed", mapping(ANY_TEXT), "why tasks failed, by task", required=False),
    Field("skipped", mapping(ANY_TEXT), "tasks that were not begun, by task: the failed task they needed", required=False),
    Field("rungs", mapping(TEXTS), "remedies that were tried when memory ran short, by task", required=False),
    Field("stream", mapping(OBJECT), "how sound handed on chunk by chunk reached a listener, by task", required=False),
    Field("error", ANY_TEXT, "what ended the run, where it did not end by itself", required=False),
    Field("refusal", OBJECT, "of a run that does not fit: a `headroom/refusal/1`", required=False),
)), (STEP_RECORD, _VARIANT))  # fmt: skip

EVENT = Format(record.EVENT_SCHEMA, Record("A line", (
    Field("event", one_of(*record.KINDS), "what happened: see the kinds below"),
    Field("at", SECONDS, "when, since the run began"),
    Field("seconds", SECONDS, "how long it took where the event has a length of its own, else the same as `at`"),
)))  # fmt: skip

OUTPUT = Record("Outputs", (
    Field("type", TEXT, "port type: `audio`, `words`, `contour`, `notes`, `text`, `file`, ..."),
    Field("file", TEXT, "file name in the same folder; never a path out of it"),
    Field("beside", TEXTS, "of a `file`: further files that belong to it, in the same folder", required=False),
))  # fmt: skip
TASK_NOTE = Format("headroom/task/1", Record("The whole file", (
    _tag("headroom/task/1"),
    Field("node", TEXT, "name of the node in its pipeline"),
    Field("item", TEXT, "name of the item"),
    Field("target", nullable(TEXT), "class of the node"),
    Field("variant", nullable(TEXT), "variant that was used; null for a node without a role"),
    Field("weights", nullable(ANY_TEXT), "which bytes its weights were"),
    Field("knobs", OBJECT, "settings of the variant or node"),
    Field("settings", OBJECT, "settings of the item that the task looked up, files by digest"),
    Field("seed", COUNT, "the run's seed"),
    Field("takes", mapping(ANY_TEXT), "input port -> `node.port` or `item.port`"),
    Field("given", mapping(array(nullable(ANY_TEXT))), "input port -> SHA-256 of the files it was given; of a text, the text and its "
          "language", required=False),
    Field("in_pieces", FLAG, "true where it was made piece by piece and joined by fades ([streaming](streaming.md))", required=False),
    Field("outputs", mapping(OUTPUT.schema()), "output port -> what was written: see Outputs"),
    Field("sha256", mapping(DIGEST), "SHA-256 of each file, by name"),
)), (OUTPUT,))  # fmt: skip

KEY = Record("Key", (
    Field("variant", TEXT, "role/variant"),
    Field("digest", ANY_TEXT, "SHA-256 of its weights; empty where a library brings them"),
    Field("knobs", ANY_TEXT, "its settings as JSON, without `batch` and `segment`"),
    Field("versions", ANY_TEXT, "of the libraries that memory depends on: `torch 2.11.0, numpy 2.1.0`"),
    Field("device", TEXT, "kind of device and what of it matters: `cpu/2` (cores), `cuda/NVIDIA L4`"),
))  # fmt: skip
OBSERVATION = Record("Seen", (
    Field("op", one_of("load", "run"), "what was measured"),
    Field("bytes", BYTES, "of a load: its peak; of a run: workspace and outputs. Above what was held when it began"),
    Field("seconds", SECONDS, "wall time"),
    Field("held_bytes", COUNT, "what stayed afterwards; of a load, the weights", required=False, default=0),
    Field("item_seconds", SECONDS, "length of the input", required=False, default=0.0),
    Field("channels", COUNT, "of the input", required=False, default=1),
    Field("characters", COUNT, "of a text", required=False, default=0),
    Field("batch", POSITIVE, "the variant's `batch`, 1 where it has none", required=False, default=1.0),
    Field("segment", nullable(SECONDS), "the variant's `segment`, seconds; null where it has none", required=False),
    Field("predicted_bytes", nullable(BYTES), "what was expected before the margin; null where nothing was", required=False),
    Field("source", ANY_TEXT, "as in a step of `run.json`", required=False, default=""),
))  # fmt: skip
FOOTPRINT = Format("headroom/footprint/1", Record("A line", (
    Field("key", KEY.schema(), "what must be the same for the measurement to count again: see Key"),
    Field("seen", OBSERVATION.schema(), "what was measured: see Seen"),
)), (KEY, OBSERVATION))  # fmt: skip

CARD = Record("Cards", (
    Field("name", ANY_TEXT, "as the driver says"),
    Field("total_bytes", BYTES, "all of its memory"),
    Field("compute", nullable(array(COUNT)), "compute capability: major, minor"),
    Field("index", COUNT, "its number among those of its kind"),
    Field("kind", TEXT, "kind of device", required=False, default="cuda"),
    Field("used_bytes", BYTES, "always 0 here: it changes by the minute", required=False, default=0),
    Field("processes", array({}), "always empty here", required=False),
))  # fmt: skip
HARDWARE = Record("Hardware", (
    Field("cards", array(CARD.schema()), "see Cards"),
    Field("ram_bytes", BYTES, "installed"),
    Field("ram_limit_bytes", BYTES, "what this process may hold, a control group's limit included"),
    Field("cores", COUNT, "of the CPU"),
    Field("driver", ANY_TEXT, "version of the driver"),
    Field("cuda", nullable(array(COUNT)), "the newest CUDA the driver speaks: major, minor"),
    Field("trouble", ANY_TEXT, "always empty here: where a driver is broken, nothing is remembered", required=False, default=""),
))  # fmt: skip
DETECTION = Format("headroom/detection/1", Record("The whole file", (
    _tag("headroom/detection/1"),
    Field("mark", DIGEST, "SHA-256 of the probes' fingerprints; where it differs, the drivers are asked again"),
    Field("hardware", HARDWARE.schema(), "what was found: see Hardware"),
)), (HARDWARE, CARD))  # fmt: skip

WEIGHTS = Format("headroom/weights/1", Record("The whole file", (
    _tag("headroom/weights/1"),
    Field("variant", ANY_TEXT, "role/variant it was fetched for", required=False),
    Field("sources", mapping(ANY_TEXT), "repository -> commit"),
    Field("sha256", mapping(DIGEST), "file -> SHA-256, as computed on this machine"),
)))  # fmt: skip

FORMATS = (PROBLEM, PLAN, REFUSAL, RUN, EVENT, TASK_NOTE, FOOTPRINT, DETECTION, WEIGHTS)


def event_kinds_table() -> str:
    """The kinds of event as a Markdown table."""
    rows = [
        f"| `{name}` | {_names(kind.always)} | {_names(kind.sometimes)} | {kind.about} |"
        for name, kind in record.KINDS.items()
    ]
    return "\n".join(["| event | its fields | where they apply | meaning |", "| --- | --- | --- | --- |", *rows])


def _names(fields: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in fields)


def tables(each: Format) -> str:
    """All tables of a format as Markdown."""
    parts = [f"**{part.title}**\n\n{part.table()}" for part in (each.whole, *each.parts)]
    if each is EVENT:
        parts.append(f"**Kinds**\n\n{event_kinds_table()}")
    return "\n\n".join(parts)


def fill(page: str) -> str:
    """The page with the text between `<!-- NAME -->` and `<!-- end -->` replaced by the tables of that format."""
    for each in FORMATS:
        start, end = f"<!-- {each.name} -->\n", "<!-- end -->"
        before, found, rest = page.partition(start)
        if not found or end not in rest:
            raise ValueError(f"the page has no place for {each.name}: {start.strip()} ... {end}")
        page = f"{before}{start}\n{tables(each)}\n\n{rest[rest.index(end) :]}"
    return page


def schema_text(each: Format) -> str:
    """A format's schema file."""
    return json.dumps(each.schema(), indent=2, ensure_ascii=False) + "\n"


def main(docs: Path) -> None:
    """Rewrite the tables and schemas under `docs`."""
    page = docs / "formats.md"
    page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
    (docs / "schemas").mkdir(exist_ok=True)
    for each in FORMATS:
        (docs / "schemas" / each.file_name).write_text(schema_text(each), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
