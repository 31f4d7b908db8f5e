"""What may be done: the policy file, its strict decoding, the decision, and the kernel's rules."""

from policies.loading import load

__all__ = ["load"]
