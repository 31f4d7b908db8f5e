"""The version of Moonpool, in the one place that says it: packages are built with it."""

VERSION = "0.1.0"
