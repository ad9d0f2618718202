"""Import what the chapters import, so that a reader's first cell need not wait.

The first import of a library writes its compiled modules, and matplotlib's first figure lists the fonts: both
then lie in the image. A missing dependency stops the building of the image, not a reader.
"""

import importlib

import matplotlib.pyplot as plt

MODULES = (
    "torch.nn.functional",
    "torchvision",
    "einops",
    "networkx",
    "sklearn.datasets",
    "skimage.data",
    "tqdm.auto",
    "worked.claims",
    "worked.data",
    "worked.figures",
    "worked.glue",
    "worked.metrics",
    "worked.training",
    "worked.weights",
)

for module in MODULES:
    importlib.import_module(module)

figure = plt.figure()
figure.text(0.5, 0.5, "x")
figure.canvas.draw()
