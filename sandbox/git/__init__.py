"""Reading and writing what git does, in private stores, never on an untrusted tree."""
