"""Multimodal: pictures and words in one space."""
