"""The key of a module's assertions that are not taken: on, as the source says, and not to be switched off.

``jumplabel.key("asserts.shop")`` finds it where ``shop`` is instrumented without its assertions. It has no sites.
"""

from typing import NoReturn

from jumplabel._keys.static_key import FollowingKey, StaticKey
from jumplabel.errors import StaticKeyError


class UntakenAsserts(FollowingKey):
    """A key that is on for as long as the assertions are ordinary statements. ``enable()`` has nothing to do."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(name, default=True)

    def enable(self) -> None:  # type: ignore[override]
        """Leave the key on, as it is."""

    def _refuse(self) -> NoReturn:
        raise StaticKeyError(
            f"{self!r} stands for assertions that are ordinary statements, and always run: to switch them, take them "
            "(asserts=True or 'off' of install() and instrument(), 'asserts:' in JUMPLABEL_INSTRUMENT, run --asserts)"
        )

    def take(self) -> StaticKey:
        """Become an ordinary key, which is on: the assertions are taken now."""
        self.__class__ = StaticKey  # type: ignore[assignment]
        return self
