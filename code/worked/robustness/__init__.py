"""Robustness: attacks within a stated budget, and training that holds against them."""
