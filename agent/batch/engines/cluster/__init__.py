"""Attempts on many machines: what is sent to them, what they ask for, and what comes home."""
