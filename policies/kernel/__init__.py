"""What the kernel is told to enforce, worked out for one image."""
