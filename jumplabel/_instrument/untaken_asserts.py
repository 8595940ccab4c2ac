"""The key of assertions that stay ordinary statements: always on, without sites.

``jumplabel.key("asserts.shop")`` finds it while ``shop`` is instrumented without its assertions. Its errors say how to
have the assertions instrumented.
"""

from typing import NoReturn

from jumplabel._keys.static_key import FollowingKey, StaticKey
from jumplabel.errors import StaticKeyError


class UntakenAsserts(FollowingKey):
    """A key that is on while the assertions are ordinary statements. Only ``enable()`` is allowed: it does nothing."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(name, default=True)

    def enable(self) -> None:  # type: ignore[override]
        """Leave the key on."""

    def _refuse(self) -> NoReturn:
        raise StaticKeyError(
            f"{self!r} stands for assertions that are ordinary statements, and always run: to switch them, take them "
            "(asserts=True or 'off' of install() and instrument(), 'asserts:' in JUMPLABEL_INSTRUMENT, run --asserts)"
        )

    def take(self) -> StaticKey:
        """Become an ordinary key, which is on, and return it. The assertions are about to become sites."""
        self.__class__ = StaticKey  # type: ignore[assignment]
        return self
