"""Numbers as a report says them."""


def count(number: float) -> str:
    """12,480 · 12.5 M"""
    for size, letter in ((10**9, "G"), (10**6, "M")):
        if number >= 10 * size:
            return f"{number / size:,.1f} {letter}"
    return f"{number:,.0f}"


def rate(a_second: float) -> str:
    """Two or three digits: 0.0042 · 0.42 · 4.2 · 42 · 4,200"""
    return f"{a_second:,.0f}" if a_second >= 10 else f"{a_second:.1f}" if a_second >= 1 else f"{a_second:.2g}"


def percent(part: float, whole: float) -> str:
    """All and none are only said of all and none."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 99.9 <= share < 100:
        return "99.9 %"
    if 0 < share < 0.1:
        return "< 0.1 %"
    return f"{share:.0f} %" if share in (0.0, 100.0) or 1 <= share <= 99 else f"{share:.1f} %"


def time_taken(seconds: float) -> str:
    """Of a call or a part of it: 4.2 ms · 420 ms · 4.2 s · 42 s · 1 m 05 s"""
    if seconds < 0.0095:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{rest} s" if minutes == 0 else f"{minutes} m {rest:02d} s"
