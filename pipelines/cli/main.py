"""`headroom <verb>`: finds the verb, runs it, and turns whatever happened into one sentence and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import pipelines
from pipelines.schema.errors import DoesNotFit, ExitCode, HeadroomError, UsageError, did_you_mean

#: Verb -> what it does; the module of the same name holds it. Order is that of the help page.
VERBS: dict[str, str] = {
    "run": "plan a pipeline and carry it out",
    "plan": "show the plan without loading anything",
    "check": "recompute a plan independently; say whether it holds",
    "explain": "say why each step is there and what more or less memory would change",
    "fit": "show quality and time against the limit; find the smallest tier that works",
    "list": "show pipelines, variants and tiers: what they need, what fits here",
    "detect": "show this machine's hardware, its tier and where each setting comes from",
    "measure": "measure a variant's footprint on this machine and remember it",
    "weights": "list, fetch and verify model weights",
    "sample": "make a song with known notes, words and times to try things on",
}

_EPILOG = """\
Everything after the verb's own flags is Hydra's: group choices (pipeline=ultrasinger tier=modest), values
(input=song.ogg seed=1), and flags (-m sweeps, --cfg job shows the config, -cd FOLDER adds your own).

  headroom sample                                     make a song to try things on
  headroom plan pipeline=ultrasinger input=song.ogg   see the peak before anything is loaded
  headroom run  pipeline=ultrasinger input=song.ogg   make the song file
  headroom run -m pipeline=ultrasinger input=song.ogg tier=low_end,modest

Exit codes: 0 ok, 1 a task failed, 2 usage or configuration, 3 graph, problem or plan invalid, 4 does not fit,
5 out of memory, 6 the surroundings failed, 7 a comparison differs, 130/143 interrupted."""


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
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return ExitCode.OK if argv else ExitCode.USAGE
    if argv[0] in ("-V", "--version"):
        print(f"headroom {pipelines.__version__}")
        return ExitCode.OK
    name, *rest = argv
    if name not in VERBS:
        raise UsageError(f"There is no verb {name!r}. {did_you_mean(name, VERBS)}")
    verb: Any = importlib.import_module(f"pipelines.cli.{name}")
    parser = _Parser(prog=f"headroom {name}", description=verb.__doc__, allow_abbrev=False,
                     formatter_class=argparse.RawDescriptionHelpFormatter, add_help=True)  # fmt: skip
    verb.add_arguments(parser)
    args, unknown = parser.parse_known_args(rest)
    return int(verb.main(args, unknown))


class _Parser(argparse.ArgumentParser):
    """argparse, but its complaints are ours: a sentence and exit code 2."""

    def error(self, message: str) -> Any:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See `{self.prog} --help`.")


def no_rest(rest: Sequence[str], verb: str) -> None:
    """Refuse arguments a verb without a config does not take."""
    if rest:
        raise UsageError(f"headroom {verb} does not take {rest[0]!r}. See `headroom {verb} --help`.")


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {about}" for name, about in VERBS.items())
    head = "usage: headroom <verb> [flags] [hydra overrides]\n\n"
    intro = "Runs pipelines of audio models with the peak of device memory planned, proved and held.\n\n"
    return f"{head}{intro}{verbs}\n\n{_EPILOG}\n\n`headroom <verb> --help` says more of each."


def _refused(error: DoesNotFit, as_json: bool) -> int:
    if as_json:
        import json

        print(json.dumps(error.refusal.to_dict(), indent=1))
    lines = [str(error), *(f"  - {text}" for text in error.refusal.suggestions)]
    return _failed("\n".join(lines), error.exit_code)


def _unexpected(error: Exception) -> int:
    """What nobody made a sentence of: the system's refusals are its own, all else is a bug."""
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename else ""
        told = f"{about}{error.strerror or error}. Is the disk full, or the place not writable?"
        return _failed(told, ExitCode.SURROUNDINGS)
    told = f"This is a bug in Headroom: {type(error).__name__}: {error}. HEADROOM_DEBUG=1 shows where it came from."
    return _failed(told, ExitCode.TASK_FAILED)


def _failed(text: str, code: ExitCode) -> int:
    from rich.console import Console
    from rich.text import Text

    message = Text("error: ", style="bold red") + Text(text, style="")
    Console(stderr=True, highlight=False, soft_wrap=True).print(message)
    return int(code)


def entry() -> None:
    """The console script. Libraries' warnings are for their developers; `-W` and HEADROOM_DEBUG=1 bring them back."""
    if not sys.warnoptions and not os.environ.get("HEADROOM_DEBUG"):
        warnings.simplefilter("ignore")
    code = main()
    try:
        sys.stdout.flush()
    except OSError:  # said already; what is still buffered must not fail again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    entry()
