"""A key with a site of each kind, which checks what its sites return while threads toggle the key."""

from jumplabel._keys.static_key import StaticKey
from jumplabel._sites.branches import static_branches
from jumplabel._sites.gates import static_gate, static_switch


class WrongError(Exception):
    """A site returned the wrong result."""


def expect(true: bool, what: str) -> None:
    if not true:
        raise WrongError(what)


class Sites:
    """One key, and for each kind of site a function that returns whether the site found the key on."""

    def __init__(self, name: str) -> None:
        key = self.key = StaticKey(name)

        @static_gate(key, default=False)
        def gate() -> bool:
            return True

        @static_switch(key, to=lambda: True)
        def switch() -> bool:
            return False

        @static_branches
        def branch() -> bool:
            return True if key else False

        @static_branches
        def loop() -> bool:
            return bool([1 for _ in range(1) if key])

        self.functions = (gate, switch, branch, loop)
        self.begun = self.done = 0

    def toggle(self) -> None:
        self.begun += 1
        try:
            self.key.enable() if self.begun & 1 else self.key.disable()
        except BaseException:
            self.begun -= 1
            raise
        self.done = self.begun

    def check(self) -> None:
        """Call each function while threads toggle. A call that no toggle overlaps must return the last state."""
        for function in self.functions:
            done = self.done
            result = function()
            if self.begun == done and result is not bool(done & 1):
                raise WrongError(f"{function.__name__} returned {result} after toggle {done}")

    def check_alone(self) -> None:
        """Toggle and call each function. Only this thread toggles the key."""
        for state in (True, False):
            self.key.enable() if state else self.key.disable()
            expect(self.shown() == {state} == {self.key.enabled}, f"{self.shown()} after {self.key!r}")

    def shown(self) -> set[bool]:
        return {function() for function in self.functions}
