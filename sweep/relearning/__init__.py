"""This project's kind of trial: unlearned, scored, attacked; what is prepared for it, and what is said of it."""
