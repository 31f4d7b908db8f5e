"""Many tasks in one process: what is to be done, the queue, its workers, and what came of it."""
