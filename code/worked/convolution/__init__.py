"""Convolution: what is shared, what is seen from where, and what is added when objects move."""
