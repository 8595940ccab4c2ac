"""What can go wrong, by whose hand."""


class JumpLabelError(Exception):
    """The base of every error that jumplabel raises."""


class StaticKeyError(JumpLabelError):
    """A key was used in a way that its state does not allow, or named in a way that the registry does not."""


class DecorationError(JumpLabelError, TypeError):
    """A decorator, or native_branch, was given something that it cannot turn into a site."""


class TracepointError(JumpLabelError, ValueError):
    """A probe was registered that is already, or unregistered that is not."""


class CallbackError(JumpLabelError, ValueError):
    """``on_toggle`` was given what it cannot call, or has already; or ``off_toggle`` what is not registered."""


class PatternError(JumpLabelError, ValueError):
    """A pattern of names is none."""


class InstrumentError(JumpLabelError, ValueError):
    """A module cannot be instrumented: it has no source, say, or is no module; or an option of that is wrong."""


class PatchError(JumpLabelError, OSError):
    """The sites could not be rewritten; every one of them is as it was, and so is the state that their keys show.

    ``errno`` says why, ``membarrier(2)`` and ``rt_tgsigqueueinfo(2)`` what it means; ``EDEADLK`` is a thread that
    blocks the signal which the process uses in place of ``membarrier``, ``ENOTSUP`` a child that was made past
    ``pthread_atfork(3)``, by a raw ``clone`` or ``_Fork``, and runs its parent's code. ``EAGAIN`` is a native branch
    that could not be made, see ``native_branch``.
    """


class RemoteError(JumpLabelError):
    """A process cannot be reached from outside, or cannot be made reachable; the message says what to do."""


class SettingError(JumpLabelError, ValueError):
    """An environment variable of jumplabel's has a value that it does not know. The import warns of it."""


class ReplacedCodeWarning(RuntimeWarning):
    """A key was toggled, and a function does not follow it: another tool has replaced its code by a copy.

    ``key.entries`` says of which sites this is so. The warning is given once for each function, until it has its own
    code back.
    """


class SettingWarning(UserWarning):
    """A setting is left out, as its value is wrong or cannot be had; or it makes tests pass that should fail."""
