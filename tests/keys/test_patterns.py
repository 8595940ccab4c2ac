"""Names by patterns."""

import pytest

from jumplabel import PatternError
from jumplabel._keys.patterns import Patterns

NAMES = ["shop", "shop.cart", "shop.cart.items", "shop.vendor.x", "shops", "other"]


@pytest.mark.parametrize(
    "patterns, expected",
    [
        (["shop"], ["shop"]),
        (["shop.*"], ["shop.cart", "shop.cart.items", "shop.vendor.x"]),
        (["shop", "shop.*"], ["shop", "shop.cart", "shop.cart.items", "shop.vendor.x"]),
        (["shop.*, !shop.vendor.*"], ["shop.cart", "shop.cart.items"]),
        (["!shop.vendor.*", "*"], ["shop", "shop.cart", "shop.cart.items", "shops", "other"]),
        (["shop?"], ["shops"]),
        (["[os]*r"], ["other"]),
        (["SHOP"], []),
    ],
)
def test_patterns_are_those_of_shells(patterns: list[str], expected: list[str]) -> None:
    chosen = Patterns(patterns)
    assert [name for name in NAMES if name in chosen] == expected


@pytest.mark.parametrize("patterns", [[], [""], ["shop,"], ["!"], ["!shop"], ["shop cart"], [7], [b"shop"]])
def test_what_is_no_pattern_is_refused(patterns: list[str]) -> None:
    with pytest.raises(PatternError):
        Patterns(patterns)
