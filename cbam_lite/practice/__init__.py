"""Is my implementation right? It is judged by what it computes, never by its source.

Read in this order:

1. `answer`: what the checker says.
2. `trial`: the measuring stand: a copy, weights far from zero, inputs of ours, nothing changed behind.
3. `weights`: which of the student's weights is which of the paper's?
4. `gates`: what every gate must do, and `channel`, `spatial`, `both` (CBAM): one judge for each module of part 1.
5. `blocks`: a residual block with attention, and attention inserted into a network.
6. `hand`: a convolution by hand.
7. `maps`: Grad-CAM, as a function of activations and gradients, and end to end.
8. `measures`: pointing, energy, IoU, average precision.
9. `words_gates`, `words_blocks`, `words_hand`, `words_maps`, `words_measures`: the known mistakes, three hints each.
10. `judging`: `check`, which asks the right judge; `__main__`, the same as a command for other graders.
11. `exercises`: `check_answer`, for the exercises of the chapters.
"""
