"""Generative models: noise schedules, diffusion, and what measures their samples."""
