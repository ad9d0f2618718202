"""Learning from two views of an image without labels: losses, what prevents collapse, and how it is measured."""
