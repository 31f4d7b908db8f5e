"""What runs inside a set-up's containers: sources that are sent there, for Python 3.8 and later."""
