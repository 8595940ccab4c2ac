"""The exceptions and warnings of jumplabel."""


class JumpLabelError(Exception):
    """The base of every error that jumplabel raises."""


class StaticKeyError(JumpLabelError):
    """A key's state does not allow this use of it, or the registry does not allow its name."""


class DecorationError(JumpLabelError, TypeError):
    """A decorator, or native_branch, cannot make a site of what it was given."""


class TracepointError(JumpLabelError, ValueError):
    """A probe that is registered was registered again, or one that is not registered was unregistered."""


class CallbackError(JumpLabelError, ValueError):
    """``on_toggle`` cannot call this callback, or has it already; or ``off_toggle`` does not have it."""


class PatternError(JumpLabelError, ValueError):
    """A text is no pattern of names."""


class InstrumentError(JumpLabelError, ValueError):
    """A module cannot be instrumented: it has no source, say, or is no module. Or an option is wrong."""


class PatchError(JumpLabelError, OSError):
    """The sites could not be rewritten. Each site is as it was, and so is the state that the keys show.

    ``errno`` says why. ``membarrier(2)`` and ``rt_tgsigqueueinfo(2)`` say what it means, but for these:

    ``EDEADLK``  a thread blocks the signal that the process uses in place of ``membarrier``
    ``ENOTSUP``  a child that was made past ``pthread_atfork(3)``, by a raw ``clone`` or ``_Fork``, runs its parent's
                 code
    ``EAGAIN``   a native branch could not be made, see ``native_branch``
    """


class RemoteError(JumpLabelError):
    """A process cannot be reached from outside, or cannot be made reachable. The message says what to do."""


class SettingError(JumpLabelError, ValueError):
    """One of jumplabel's environment variables has a value that jumplabel does not know. The import warns of it."""


class ReplacedCodeWarning(RuntimeWarning):
    """A key was toggled, and a function does not follow it: another tool has replaced the function's code by a copy.

    ``key.entries`` says which sites these are. Each function is warned of once, until it has its own code back.
    """


class SettingWarning(UserWarning):
    """A setting is left out, as its value is wrong or not possible here; or it makes tests pass that should fail."""
