"""What all trials of an experiment share, made once: one module a product, with its key, which costs nothing, and its maker."""
