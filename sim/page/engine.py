"""The engine of a page: lets its worlds pass in one thread and has them drawn by another.

Three laws:

1. The model never waits for the page. What it does is kept as frames, and they are drawn by a thread of its own, one
   drawing after the other and at most one every `FRAME_S`.
2. Time is one number, the `position`: bars passed in what is shown. Play moves it on; where it stands in the past, over
   frames that are there, and then on with the model.
3. Whatever goes wrong in a model is a message, and the page lives on.
"""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sim.page.world import Frame, World
from sim.scenario import ScenarioError, error_line, one_line

FRAME_S = 0.06
"""Least time between two drawings."""
FAREWELL_S = 1.0
"""How long a page that is closed needs to let go of what it has shown."""
FASTEST = math.inf

log = logging.getLogger(__name__)

type Worlds = tuple[World, ...]


@dataclass(frozen=True)
class State:
    """What a page shows of its engine.

    Attributes
    ----------
    worlds
        One, or two side by side; none before the first is made.
    position, done
        Bars passed at the moment shown, and in all so far.
    turn
        Number of the visitor's last turn of the slider of time that `position` knows of.
    playing, making
        Whether time passes, and whether worlds are being made.
    problem
        What went wrong, if anything did.
    """

    worlds: Worlds = ()
    position: int = 0
    done: int = 0
    turn: int = 0
    playing: bool = False
    making: bool = False
    problem: str = ""

    @property
    def outline(self) -> State:
        """The same for all moments of a run, but for the first, when nothing has passed."""
        return replace(self, position=min(self.position, 1), done=0, turn=0)

    def frames(self, place: int) -> list[Frame]:
        """Frames of a world up to the moment shown."""
        return self.worlds[place].frames[: self.position]


class Engine:
    """Two threads around the worlds of one page.

    Parameters
    ----------
    draw
        Draws `state`, and returns when it is done.
    """

    def __init__(self, draw: Callable[[], None]) -> None:
        self._draw = draw
        self._change = threading.Condition()
        self._worlds: Worlds = ()
        self._make: Callable[[], Worlds] | None = None
        self._position = self._steps = self._turn = 0
        self._speed = FASTEST
        self._playing = self._making = self._closed = False
        self._problem = ""
        self._version = self._painted = 0
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._run, self._paint)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads and let go of the worlds."""
        with self._change:
            self._closed, self._worlds, self._make = True, (), None
            self._change.notify_all()

    @property
    def state(self) -> State:
        """What is to be shown now."""
        with self._change:
            position, turn = self._position, self._turn
            return State(self._worlds, position, self._done, turn, self._playing, self._making, self._problem)

    @property
    def _done(self) -> int:
        return min((len(world.frames) for world in self._worlds), default=0)

    # What the visitor does

    def reset(self, make: Callable[[], Worlds]) -> None:
        """Let go of the worlds and make others."""
        with self._changing():
            self._make, self._making, self._problem = make, True, ""
            self._worlds, self._position, self._steps, self._playing = (), 0, 0, False

    def play(self) -> None:
        """Let time pass."""
        with self._changing():
            self._playing = not self._problem

    def pause(self) -> None:
        """Stop time."""
        with self._changing():
            self._playing = False

    def step(self) -> None:
        """Let one bar pass."""
        with self._changing():
            self._playing, self._steps = False, self._steps + (not self._problem)

    def seek(self, position: int, turn: int = 0) -> None:
        """Show a moment that has passed, and stop there; `turn` numbers the visitor's turns of the slider."""
        with self._changing():
            self._playing, self._position, self._turn = False, min(max(position, 0), self._done), turn

    def run_at(self, bars_per_second: float) -> None:
        """Set the speed of Play."""
        with self._changing():
            self._speed = bars_per_second

    def refresh(self) -> None:
        """Have everything drawn again: there is more to be seen of the same."""
        with self._changing():
            pass

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock; then the threads and the page learn that something is new."""
        with self._change:
            yield
            self._version += 1
            self._change.notify_all()

    # The thread of the worlds

    def _run(self) -> None:
        while self._wait_for_work():
            start = time.monotonic()
            try:
                self._work()
            except Exception as error:
                self._fail(error)
            self._wait_for_turn(start)
        time.sleep(FAREWELL_S)
        gc.collect()

    def _wait_for_work(self) -> bool:
        with self._change:
            self._change.wait_for(lambda: self._closed or self._make or self._steps or self._playing)
            return not self._closed

    def _wait_for_turn(self, start: float) -> None:
        with self._change:
            rest = start + 1 / self._speed - time.monotonic()
            if self._playing and rest > 0:
                self._change.wait_for(lambda: self._closed or self._make or not self._playing, rest)

    def _work(self) -> None:
        with self._change:
            make, self._make = self._make, None
            worlds, position = self._worlds, self._position
            if not make and self._steps:
                self._steps -= 1
        if make:
            self._put(make)
        elif position < self._done or self._advance(worlds):
            with self._changing():
                if self._worlds is worlds and self._position == position:
                    self._position += 1
        else:
            self.pause()

    def _put(self, make: Callable[[], Worlds]) -> None:
        worlds = make()
        # The page shows the old worlds no more. Each holds the whole tape of its days, and refers to itself.
        gc.collect()
        with self._changing():
            # Another reset may have come meanwhile.
            if not self._make and not self._closed:
                self._worlds, self._making, self._problem = worlds, False, ""

    @staticmethod
    def _advance(worlds: Worlds) -> bool:
        """Let a bar pass in every world; whether there was one to come."""
        if not worlds or not all(world.running for world in worlds):
            return False
        for world in worlds:
            world.step()
        return True

    def _fail(self, error: Exception) -> None:
        if isinstance(error, ScenarioError):
            problem = one_line(str(error))
        else:
            log.error("a world of the page has failed", exc_info=error)
            problem = error_line(error)
        if problem == self._problem:
            return
        with self._changing():
            self._problem = problem
            self._playing, self._making, self._steps = False, False, 0

    # The thread of the drawings

    def _paint(self) -> None:
        while (version := self._news()) is not None:
            start = time.monotonic()
            try:
                self._draw()
            except Exception as error:
                self._fail(error)
            with self._change:
                self._painted = version
                self._change.wait_for(lambda: self._closed, max(start + FRAME_S - time.monotonic(), 0))

    def _news(self) -> int | None:
        """Wait for something new to draw: its number, or None at the end."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._version != self._painted)
            return None if self._closed else self._version
