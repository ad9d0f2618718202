"""Graphs: sparse message passing and what renumbering the nodes does to it."""
