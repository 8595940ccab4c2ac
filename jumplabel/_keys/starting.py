"""Keys that start on: JUMPLABEL_ENABLE, and ``run --enable``."""

from jumplabel._keys import registry
from jumplabel._keys.batches import batch
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.static_key import StaticKey
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401


class Starting:
    """Turn on the keys whose names match the patterns: those that there are, now, and later ones as they are made.

    It leaves out a key that follows something else, such as the key of a tracepoint. It stays in force until the
    process ends. Raises PatchError where the sites of the keys that there are cannot be rewritten. Then no key is
    turned on, now or later.
    """

    def __init__(self, patterns: Patterns) -> None:
        self.patterns = patterns
        self._used: set[str] = set()
        with registry.lock:
            found = [key for key in list(registry.by_name.values()) if self.matches(key, key.name)]
            registry.starting.append(self)
        try:
            with batch():
                for key in found:
                    key.enable()
        except BaseException:
            registry.starting.remove(self)
            raise

    def matches(self, key: StaticKey, name: str) -> bool:
        """Return whether the key starts on. Notes which patterns were used for it."""
        if type(key).enable is not StaticKey.enable or name not in self.patterns:
            return False
        self._used.update(self.patterns.that_find(name))
        return True

    @property
    def unused(self) -> list[str]:
        """The patterns that no key has matched so far."""
        return [part for part in self.patterns.patterns if not part.startswith("!") and part not in self._used]
