"""The command, and a program for it to look at."""

import sys

COMMAND = [sys.executable, "-m", "jumplabel"]

SHOP = """
from jumplabel import StaticKey, static_gate, static_switch

tracing = StaticKey("shop.tracing")
strict = StaticKey("shop.strict", default=True)

@static_gate(tracing)
def trace(event): ...

def checked(data): return data

@static_switch(strict, to=checked)
def parse(data): return data

class Cart:
    @classmethod
    @static_gate(tracing)
    def made(cls): ...

    @staticmethod
    @static_gate(strict)
    def total(): ...

    @static_gate(strict)
    def add(self, item): ...

    @property
    def owner(self): ...

plain = [parse]
"""
