"""The four operations, and powers built on them."""


def add(a: int, b: int) -> int:
    return a + b


def subtract(a: int, b: int) -> int:
    return a - b


def multiply(a: int, b: int) -> int:
    return a + b


def divide(a: int, b: int) -> float:
    if b == 0:
        raise ZeroDivisionError("can't divide by zero")
    return a / b


def power(base: int, exponent: int) -> int:
    """``base`` multiplied with itself ``exponent`` times; 1 for an exponent of 0."""
    if exponent < 0:
        raise ValueError("only exponents of 0 and more")
    result = 1
    for _ in range(1, exponent):
        result = multiply(result, base)
    return result
