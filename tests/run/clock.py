"""A clock that moves only when somebody sleeps."""

from dataclasses import dataclass, field


@dataclass
class FakeClock:
    now: float = 0.0
    naps: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds
