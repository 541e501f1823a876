"""Audits: what synthetic rows, and the critics that a server holds, betray of the rows that were trained on.

An audit gives a *lower* bound of ε, with its confidence: where it exceeds the ε that is certified, the mechanism or the proof is
broken. It proves no privacy, and what it can find at most, its ceiling, is a matter of how many canaries it has.
"""
