import pytest

from calculator.arithmetic import add, divide, multiply, power, subtract


def test_add():
    assert add(2, 3) == 5


def test_subtract():
    assert subtract(5, 3) == 2


def test_multiply():
    assert multiply(4, 5) == 20
    assert multiply(7, 0) == 0


def test_divide():
    assert divide(9, 3) == 3
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_power():
    # Powers are built on products: no use to look at them while those are wrong.
    assert multiply(2, 5) == 10
    assert power(2, 0) == 1
    assert power(2, 1) == 2
    assert power(2, 5) == 32
