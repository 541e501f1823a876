"""Figures of synthetic rows (n, d): how near they are to real ones, party by party and together, and what they are good for."""
