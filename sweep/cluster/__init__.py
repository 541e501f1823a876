"""Clusters: a cluster file checked before it costs money, a sweep sent to one, and a node drained before it is taken away."""
