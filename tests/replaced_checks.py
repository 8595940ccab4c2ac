"""The warnings of functions whose code another tool has replaced."""

import contextlib
import warnings

from jumplabel import ReplacedCodeWarning


@contextlib.contextmanager
def warned(*functions):
    """These functions are warned of in the block, in any order, each once."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    assert {one.category for one in found} <= {ReplacedCodeWarning}
    messages = sorted(str(one.message) for one in found)
    names = sorted(f"{one.__module__}.{one.__qualname__} does not follow the key " for one in functions)
    assert len(messages) == len(names), messages
    for message, name in zip(messages, names, strict=True):
        assert message.startswith(name) and "its own code" in message
