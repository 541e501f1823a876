"""Vertical federated GANs as a procedure: parties hold columns of the same rows, and synthetic rows are published under an ε."""
