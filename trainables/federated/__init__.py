"""Vertical federated GANs: parties hold different columns of the same rows, and what is published is synthetic rows.

A row is a vector (d,) of numbers: pixels of an image, or a table's columns as `schema` and `encoding` make numbers of them.
`parties` says who holds which of them. A synthesizer has generators, which see noise alone, and critics, which see real
rows; a mechanism says how a critic's gradient is made of real rows, and what privacy that costs.
"""
