"""Learning from two views of an image without labels: losses, what prevents collapse, how it is measured."""
