"""The training loop: one loop for every method, resumable to the bit."""
