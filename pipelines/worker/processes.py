"""How processes of ours end, in sentences."""

from __future__ import annotations

import signal

#: Signals a person meets, and what usually lies behind them.
_USUALLY = {
    signal.SIGKILL: "usually the kernel, out of memory, or somebody's kill -9",
    signal.SIGSEGV: "a fault inside a native library",
    signal.SIGABRT: "a native library gave up",
    signal.SIGBUS: "a file or shared memory that shrank under it",
    signal.SIGILL: "a library built for another processor",
    signal.SIGTERM: "it was asked to end",
}


def death_sentence(returncode: int | None, who: str) -> str:
    """What ended `who`, from a return code as `subprocess` and `multiprocessing` give it (negative: a signal).

    >>> death_sentence(-9, "the worker")
    "the worker was killed by SIGKILL (usually the kernel, out of memory, or somebody's kill -9)."
    """
    if returncode is None:
        return f"{who} does not answer."
    if returncode >= 0:
        return f"{who} ended with exit code {returncode}."
    try:
        number = signal.Signals(-returncode)
    except ValueError:
        return f"{who} was killed by signal {-returncode}."
    return f"{who} was killed by {number.name} ({_USUALLY.get(number, signal.strsignal(number))})."
