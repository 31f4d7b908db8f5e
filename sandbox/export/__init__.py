"""What changed in a container, asked of the guest or of the engine, and brought out."""
