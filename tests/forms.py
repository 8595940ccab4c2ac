"""Functions that test keys in every form, and call their argument at each step; tools.py makes and runs them."""

import contextlib

from jumplabel import likely, unlikely

key = other_key = None  # pair() in tools.py fills them in


class switches:
    key = None


def if_else(hit):
    hit(1)
    if key:
        hit(2)
        hit(3)
    else:
        hit(4)
    return hit(5)


def if_at_the_end(hit):
    hit(1)
    if key:
        hit(2)


def if_not(hit):
    if not key:
        hit(1)
    hit(2)
    if not switches.key:
        return hit(3)
    return hit(4)


def elif_chain(hit):
    if hit(0):
        hit(1)
    elif key:
        hit(2)
    elif other_key:
        hit(3)
    elif hit(4):
        hit(5)
    else:
        hit(6)


def ifs_in_ifs(hit):
    if key:
        if other_key:
            hit(1)
        elif not key:
            hit(2)
        hit(3)
    elif other_key:
        hit(4)
    hit(5)


# fmt: off
def on_one_line(hit):
    if key: hit(1)  # noqa: E701
    if not key: return hit(2)  # noqa: E701
    hit(3)


def on_several_lines(hit):
    if (
        key
        or other_key
    ):
        hit(1)
    if key:
        hit(4)
    return (
        hit(2)
        if key
        else hit(3)
    )


def tests_on_several_lines(hit):
    if likely(
        key
    ):
        hit(1)
    if (
        switches
        .key
    ):
        hit(2)
    while likely(
        not
        key
    ):
        return hit(3)
    if key and hit(4):
        hit(5)


def comprehensions_on_several_lines(hit):
    if key:
        hit(6)
    first = [
        hit(i)
        for i in range(3)
        if key
    ]
    second = sum(
        hit(i)
        for i in range(3)
        if not key
    )
    return first, second, {
        i: hit(i)
        for i in range(2)
        if hit(1)
        if key
        if not other_key
    }
# fmt: on


def hints(hit):
    if likely(key):
        hit(1)
    if unlikely(key) or hit(0):
        hit(2)
    while unlikely(switches.key):
        hit(3)
        break


def attribute(hit):
    for i in range(3):
        if switches.key:
            hit(i)
        else:
            hit(-i)


def while_key(hit):
    i = 0
    while key:
        i += 1
        if hit(i) > 2:
            break
    else:
        hit(0)
    return i


def while_not(hit):
    i = 0
    while not key:
        if hit(i) > 1:
            return i
        i += 1
    hit(10)


def while_both(hit):
    i = 0
    while key and i < 3 and not other_key:
        i += hit(1)
    return i


def in_a_loop(hit):
    for i in range(3):
        hit(i)
        if key:
            hit(10 + i)
    for i in range(3):
        if key:
            continue
        hit(20 + i)
        if not key:
            continue
        hit(30 + i)


def leaves_a_loop(hit):
    i = 0
    while True:
        i += 1
        if key:
            break
        if i > 3:
            hit(i)
            break
    return hit(i)


def values(hit):
    hit(1)
    first = key and hit(2)
    hit(first)
    second = key or hit(3)
    hit(second)
    return hit(4) if key else hit(5), (key and other_key) or hit(0), (not key, hit(6))


def values_tested_again(hit):
    hit((key and 2) or hit(0))
    first = (key and hit(0)) or (other_key and hit(3)) or hit(4)
    hit(not (key and hit(5)))
    (key and hit(0)) or hit(7)
    return first, (key or hit(0)) and hit(6)


def conditions(hit):
    if (key and hit(1)) or other_key:
        hit(2)
    if hit(0) or key:
        hit(3)
    if not (key or hit(0)) and hit(4):
        hit(5)


def comprehensions(hit):
    return (
        [hit(i) for i in range(3) if key],
        {hit(i) for i in range(2) if not key},
        {i: hit(i) if key else 0 for i in range(2)},
        [hit(i) for i in range(2) if key and i for j in range(2) if other_key or j],
        sum(hit(i) for i in range(2) if key),
    )


def assertion(hit):
    assert not key, hit("on")
    hit(1)
    assert key, hit("off")


def try_finally(hit):
    try:
        hit(1)
        if key:
            return hit(2)
        hit(3)
    finally:
        hit(4)
        if key:
            hit(5)
    hit(6)


def try_except(hit):
    for i in range(2):
        try:
            if key:
                hit(1)
            raise ValueError(hit(i))
        except ValueError:
            if key:
                continue
            hit(2)
        except ZeroDivisionError:
            if not key:
                raise
            hit(3)
        else:
            hit(4)


def with_block(hit):
    with contextlib.nullcontext(hit(1)):
        if key:
            hit(2)
        with contextlib.suppress(ZeroDivisionError):
            if not key:
                hit(3)
            hit(4)
    if key:
        with contextlib.nullcontext():
            return hit(5)


def matching(hit):
    for value in (1, "two"):
        match value:
            case 1 if key:
                hit(1)
            case str() if not key:
                hit(2)
            case _:
                hit(3)


def generators(hit):
    def numbers():
        for i in range(3):
            if key:
                yield hit(i)
            elif other_key:
                return
        if not key:
            yield from (hit(-1),)

    return list(numbers())


def coroutines(hit):
    async def step(i):
        if key:
            return hit(i)
        return hit(-i)

    async def steps():
        while key:
            await step(1)
            break
        if other_key:
            return await step(2)
        return await step(3)

    try:
        steps().send(None)
    except StopIteration as stop:
        return stop.value


def nested(hit):
    def inner(i):
        if key:
            return hit(i)
        return other(i) if i else None

    def other(i):
        return inner(i - 1) or (key or hit(0))

    if other_key:
        hit(10)
    return inner(2), (lambda: hit(3) if key else hit(4))()


def recursive(hit, depth=2):
    if key:
        hit(depth)
    if depth:
        recursive(hit, depth - 1)
    if not key:
        hit(-depth)


def long(hit):
    while hit(1):
        if key:
            hit((hit(1), hit(2), hit(3), hit(4), hit(5), hit(6), hit(7), hit(8), hit(9), hit(10), hit(11), hit(12)))
            hit((hit(1), hit(2), hit(3), hit(4), hit(5), hit(6), hit(7), hit(8), hit(9), hit(10), hit(11), hit(12)))
            hit((hit(1), hit(2), hit(3), hit(4), hit(5), hit(6), hit(7), hit(8), hit(9), hit(10), hit(11), hit(12)))
        if not key:
            break
        if hit(3):
            return hit(4)
    return hit(5)


def make_closures(enabled, also):
    def closure(hit):
        for i in range(2):
            if enabled:
                hit(i)
            elif not also:
                hit(2)
        while not enabled:
            return (lambda: enabled or hit(3))()

    # fmt: off
    def closure_on_several_lines(hit):
        if enabled:
            hit(6)
        first = [
            hit(i)
            for i in range(3)
            if enabled
        ]
        for _ in range(2):
            if (
                not also
                and hit(2)
                and not enabled
            ):
                hit(3)
        return first, (
            hit(4)
            if enabled
            else hit(5)
        )
    # fmt: on

    return closure, closure_on_several_lines
