"""This project's kind of trial: what was unlearned is scored, and attacked until it comes back.

What one is asked is in `experiment`, its order in `trial`; what trials share are `products`, what each makes `stages`.
"""
