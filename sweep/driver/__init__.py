"""Drives a sweep from its plan to its page, on Ray or in this process."""
