"""The builtins as they were when the library was imported.

Tests replace builtins (``mock.patch("builtins.isinstance")``). A module that has these as its ``__builtins__`` goes on
with the interpreter's own, also where a statement of the program runs its functions meanwhile.
"""

import builtins

BUILTINS = dict(vars(builtins))
