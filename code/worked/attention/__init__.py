"""Attention: the parts of a vision transformer, plain and in windows."""
