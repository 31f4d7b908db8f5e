"""What may be done: the policy file, its strict decoding, the decision, the kernel's rules."""
