"""The stages of a sweep: what is made once and shared, and what every trial does.

A stage's key is the hash of everything that determines its product, so asking for a key again finds it instead of making
it. Long stages are resumable: they run until a deadline and leave an in-stage checkpoint in the store.
"""
