"""`headroom <verb>`: finds the verb, runs it, and turns whatever happened into one sentence and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Protocol

import pipelines
from pipelines.cli.screen.help import description, epilog, overview, usage
from pipelines.schema.errors import DoesNotFit, ExitCode, HeadroomError, UsageError, did_you_mean

#: Verb -> what it does; the module of the same name holds it. Order is that of the help page.
VERBS: dict[str, str] = {
    "run": "plan a pipeline and run it",
    "plan": "show the plan without loading anything",
    "check": "recompute a plan independently; say whether it holds",
    "explain": "say why each step is there and what more or less memory would change",
    "fit": "show what memory buys: quality and time; the smallest tier that works",
    "list": "show pipelines, variants and tiers: what they need, what fits here",
    "detect": "show the hardware here, its tier and where each setting comes from",
    "measure": "measure a variant's footprint on this machine and remember it",
    "weights": "list, fetch and verify model weights",
    "sample": "make a song with known notes, words and times to try things on",
}

#: Hydra's flags that take a value, which must not be taken for an argument of a verb.
_HYDRA_VALUED = (
    "-cd",
    "--config-dir",
    "-cn",
    "--config-name",
    "-cp",
    "--config-path",
    "-c",
    "--cfg",
    "-p",
    "--package",
)


class Verb(Protocol):
    """What a verb's module has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Its own flags and positional arguments."""

    def main(self, args: argparse.Namespace, rest: list[str]) -> int:
        """Do it; `rest` are the arguments that are Hydra's. Returns an exit code or raises `HeadroomError`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code; never raises but for a bug."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
        return code
    except DoesNotFit as error:
        return _refused(error, "json" in argv)
    except HeadroomError as error:
        return _failed(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _failed("Interrupted.", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        if os.environ.get("HEADROOM_DEBUG"):
            raise
        return _unexpected(error)


def _dispatch(argv: list[str]) -> int:
    if argv[:1] == ["help"] and argv[1:]:
        argv = [argv[1], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview(VERBS))
        return ExitCode.OK if argv else ExitCode.USAGE
    if argv[0] in ("-V", "--version"):
        print(f"headroom {pipelines.__version__}")
        return ExitCode.OK
    name, *rest = argv
    if name not in VERBS:
        raise UsageError(_no_verb(name))
    verb: Any = importlib.import_module(f"pipelines.cli.{name}")
    ours, hydra = _apart(rest)
    parser = _parser(name, verb)
    args, unknown = parser.parse_known_intermixed_args(ours)
    _refuse_near_flags(unknown, [flag for flag in parser._option_string_actions if flag.startswith("--")], name)
    return int(verb.main(args, [*hydra, *unknown]))


def _refuse_near_flags(unknown: Sequence[str], own: Sequence[str], name: str) -> None:
    """What is no flag of the verb is left to Hydra, but for a misspelt one of the verb's own."""
    for word in unknown:
        if word.startswith("--") and (near := get_close_matches(word, own, 1, 0.85)):
            raise UsageError(f"Unknown flag {word!r}. Did you mean {near[0]!r}? See `headroom {name} --help`.")


def _no_verb(name: str) -> str:
    if name.startswith("-"):
        return f"There is no flag {name!r} before a verb. {did_you_mean(name, ('--help', '--version'))}"
    if "=" in name:
        return f"{name!r} stands where a verb belongs: headroom run {name} ... See `headroom --help`."
    if os.path.exists(name):
        return f"There is no verb {name!r}. To work on a file: headroom run pipeline=NAME input={name}"
    return f"There is no verb {name!r}. {did_you_mean(name, VERBS)}"


def _parser(name: str, verb: Any) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"headroom {name}", description=description(verb.__doc__), epilog=epilog(name),
                     allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    verb.add_arguments(parser)
    parser.usage = usage(parser, name)
    return parser


def _apart(rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what the verb's own parser reads, Hydra's flags with their values)."""
    ours: list[str] = []
    hydra: list[str] = []
    words = iter(rest)
    for word in words:
        if word in _HYDRA_VALUED:
            hydra += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            ours.append(word)
    return ours, hydra


class _Parser(argparse.ArgumentParser):
    """argparse, but its complaints are ours: a sentence and exit code 2."""

    def error(self, message: str) -> Any:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See `{self.prog} --help`.")


def no_rest(rest: Sequence[str], verb: str) -> None:
    """Refuse arguments a verb without a config does not take."""
    if rest:
        raise UsageError(f"headroom {verb} does not take {rest[0]!r}. See `headroom {verb} --help`.")


def _refused(error: DoesNotFit, as_json: bool) -> int:
    if as_json:
        import json

        print(json.dumps(error.refusal.to_dict(), indent=1))
    lines = [str(error), *(f"  - {text}" for text in error.refusal.suggestions)]
    return _failed("\n".join(lines), error.exit_code)


def _unexpected(error: Exception) -> int:
    """What nobody made a sentence of: the system's refusals are its own, all else is a bug."""
    if isinstance(error.__context__, KeyboardInterrupt):  # Ctrl-C in a library whose clean-up then failed
        return _failed("Interrupted.", ExitCode.INTERRUPTED)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}. Is the disk full, or the place not writable?"
        return _failed(message, ExitCode.SURROUNDINGS)
    message = f"This is a bug in Headroom: {type(error).__name__}: {error}. HEADROOM_DEBUG=1 shows where it came from."
    return _failed(message, ExitCode.TASK_FAILED)


def _failed(text: str, code: ExitCode) -> int:
    from rich.console import Console
    from rich.text import Text

    message = Text("error: ", style="bold red") + Text(text, style="")
    Console(stderr=True, highlight=False, soft_wrap=True).print(message)
    return int(code)


def entry() -> None:
    """The console script. Libraries' warnings are for their developers; `-W` and HEADROOM_DEBUG=1 bring them back."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called (`>&-`)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives
    # ONNX Runtime's builds report to their maker from import on, and keep a number of this machine in ~/.cache for it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if not sys.warnoptions and not os.environ.get("HEADROOM_DEBUG"):
        warnings.simplefilter("ignore")
    code = main()
    try:
        sys.stdout.flush()
    except OSError:  # reported already; what is still buffered must not fail again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    entry()
