"""Is my implementation right? It is judged by what it computes, never by its source.

Read in this order:

1. `answer`: what the checker says.
2. `trial`: the measuring stand: a copy, weights far from zero, inputs of ours, nothing changed behind.
3. `subject`: from a class, a factory, a module or a function to a module on that stand; `gates`: what every gate
   must do.
4. `weights`: which of the student's weights is which of the paper's? `formulas`: the channel gates, right and with one
   thing wrong; `network`: an MLP measured from outside; `structure`: what a gate reads, where no formula fits. Then
   `channel` (SE, channel attention), `eca`, `spatial`, `both` (CBAM): one judge for each module of part 1.
5. `blocks`: a residual block with attention, and attention inserted into a network.
6. `hand`: a convolution by hand.
7. `hypotheses`: right and wrong maps; `maps`: Grad-CAM as a function of activations and gradients; `probe_network`,
   `calling`, `end_to_end`: Grad-CAM from a model and images.
8. `mismeasures`, `misaverages`: right and wrong scores; `measures`: pointing, energy, IoU, average precision.
9. `words_gates`, `words_channel`, `words_places`, `words_blocks`, `words_hand`, `words_maps`, `words_end_to_end`,
   `words_measures`, `words_overlap`: the known mistakes, three hints each.
10. `judging`: `check`, which asks the right judge; `__main__`, the same as a command for other graders.
11. `exercises`: `check_answer`, for the exercises of the chapters.
"""
