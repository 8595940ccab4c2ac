"""The options of ``install()`` and ``instrument()``: which statements of a module are instrumented."""

from typing import Literal, NamedTuple

from jumplabel.errors import InstrumentError

Asserts = bool | Literal["on", "off"]
"""Whether assertions become sites, and in which state their keys start. True is ``"on"``."""


class Options(NamedTuple):
    """The options, with the names that ``install()`` gives them."""

    logging: bool = True
    asserts: Asserts = False
    keys: bool = True
    only_pure: bool = False

    @property
    def asserts_start_on(self) -> bool:
        return self.asserts != "off"


def checked(logging: bool, asserts: Asserts, keys: bool, only_pure: bool) -> Options:
    """Return the options. Raises InstrumentError for a wrong value, naming the option and its values."""
    for name, value in (("logging", logging), ("keys", keys), ("only_pure", only_pure)):
        if not isinstance(value, bool):
            raise InstrumentError(f"{name} is True or False, not {value!r}")
    if not isinstance(asserts, bool) and not (isinstance(asserts, str) and asserts in ("on", "off")):
        raise InstrumentError(
            f"asserts is False (they stay as they are), True or 'on' (their keys start on) or 'off' (their keys start "
            f"off), not {asserts!r}"
        )
    return Options(logging, asserts, keys, only_pure)
