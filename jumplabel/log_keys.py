"""STAND-IN until the real one lands."""

import logging
from jumplabel.keys import StaticKey


class LogKey(StaticKey):
    __slots__ = ("where",)

    def __init__(self, name, module, path, method, level=None):
        n = name
        i = 2
        from jumplabel.keys import _registry

        while n in _registry:
            n = f"{name} ({i})"
            i += 1
        super().__init__(n, default=True)
        self.where = (module.__dict__, path, method, level)

    @classmethod
    def of(cls, logger, method, level):
        return None


LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50, "exception": 40}


def bind(keys):
    for key in keys:
        ns, path, method, level = key.where
        o = ns.get(path[0])
        for p in path[1:]:
            o = getattr(o, p, None)
        level = LEVELS.get(method, level)
        if isinstance(level, tuple):
            l = ns.get(level[0])
            for p in level[1:]:
                l = getattr(l, p, None)
            level = l
        if isinstance(o, logging.Logger) and isinstance(level, int):
            key.enable() if o.isEnabledFor(level) else key.disable()


def unbind(keys):
    for key in keys:
        key.enable()
