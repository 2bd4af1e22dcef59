"""SE and CBAM in fewer passes over the map, as in the book's last part.

1. `fused`: put the fused path into a model, or take it out. `reasons`: when it is taken, and why not.
2. `operators`: the steps in the order of the equations; `kernels`: the GPU's code.
"""
