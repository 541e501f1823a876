"""Measurements that the documentation quotes; each file says the command that repeats it.

A package, though none is installed of it: Opacus' wheel brings one of this name, which would else be found instead.
"""
