"""The builtins as they were when the library was imported.

Tests replace builtins (``mock.patch("builtins.isinstance")``). A module whose ``__builtins__`` these are has functions
that go on with the interpreter's own, whatever a program's statement makes them do at that moment.
"""

import builtins

BUILTINS = dict(vars(builtins))
