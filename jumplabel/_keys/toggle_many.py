"""Toggle many keys for an operator: in one transaction, leaving out those that refuse."""

from typing import NamedTuple

from jumplabel._engine import lib
from jumplabel._keys.static_key import StaticKey
from jumplabel._keys.transactions import attempt, error_of
from jumplabel.errors import JumpLabelError

_ENABLE, _DISABLE = StaticKey.enable, StaticKey.disable


class Outcome(NamedTuple):
    """What became of one key."""

    word: str
    """``changed``, ``already`` or ``refused``."""
    why: str = ""
    """Why it has refused."""


def toggle_all(keys: list[StaticKey], on: bool) -> list[Outcome]:
    """Enable or disable the keys, and return their outcomes in the same order.

    All keys that can be toggled are one transaction. A key may refuse: it has several users, or it follows something
    else, or its class toggles in a way of its own and raises. That changes nothing for the other keys. Where the sites
    of all keys cannot be rewritten together, each key is toggled alone. Raises nothing.
    """
    together = [i for i, key in enumerate(keys) if _toggles_as_all_do(key, on)]
    outcomes = {i: _alone(key, on) for i, key in enumerate(keys) if i not in set(together)}
    while together:
        before = [_users(keys[i]) for i in together]
        try:
            failure = attempt([(keys[i], lib.KEY_ENABLE if on else lib.KEY_DISABLE) for i in together])
        except Exception as trouble:  # no memory, say
            outcomes.update((i, Outcome("refused", repr(trouble))) for i in together)
            break
        error, at = failure or (0, 0)
        if error > 0:
            refused = together.pop(at)
            outcomes[refused] = Outcome("refused", str(error_of(error, keys[refused])))
        elif error:
            outcomes.update((i, _alone(keys[i], on)) for i in together)
            break
        else:
            for i, was in zip(together, before, strict=True):
                outcomes[i] = Outcome("changed" if _users(keys[i]) != was else "already")
            break
    return [outcomes[i] for i in range(len(keys))]


def _toggles_as_all_do(key: StaticKey, on: bool) -> bool:
    """Return whether the transaction may have the key: no subclass toggles it, and it is not known to refuse."""
    if on:
        return type(key).enable is _ENABLE
    return type(key).disable is _DISABLE and key.count <= 1


def _alone(key: StaticKey, on: bool) -> Outcome:
    try:
        before = _users(key)
        key.enable() if on else key.disable()
        return Outcome("changed" if _users(key) != before else "already")
    except JumpLabelError as error:
        return Outcome("refused", str(error))
    except Exception as error:
        return Outcome("refused", repr(error))


def _users(key: StaticKey) -> tuple[bool, int]:
    return key.enabled, key.count
