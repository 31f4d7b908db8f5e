"""The connection to the guest: frames, bounded and never believed."""
