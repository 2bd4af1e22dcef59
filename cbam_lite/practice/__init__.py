"""Is my implementation right? It is judged by what it computes, never by its source.

Read in this order:

1. `answer`: what the checker says. `trial`: the measuring stand, which leaves nothing changed behind. `judging`:
   `check`, which asks the right judge; `__main__`, the same as a command for other graders.
2. A convolution: `wrong_convolutions`: right and wrong sums of products; `hand`: the judge.
3. Gates: `subject`: from a class, a factory, a module or a function to a module on the stand; `casts`: code that
   changes dtypes; `gates`: what every gate must do; `weights`: which of the student's weights is which of the paper's;
   `formulas`: the channel gates, right and with one thing wrong; `network`: an MLP measured from outside; `structure`:
   what a gate reads, where no formula fits; `sizes`: other values of r and of the kernel size; `channel` and `eca`: the
   judges.
4. Places: `windows`: a convolution measured from outside; `spatial`: the judge. `arrangements`: two gates put together
   wrongly; `apart`: the channel gate of a CBAM alone; `both`: the judge of CBAM.
5. Networks: `block_maker` and `probes`: a block with an attention of ours inside; `blocks`: the judge. `plain_resnets`
   and `inserted`: attention put into networks of ours.
6. Maps: `wrong_maps`: right and wrong ones; `maps`: Grad-CAM as a function of activations and gradients;
   `probe_network`, `calling`, `end_to_end`: Grad-CAM from a model and images.
7. Scores: `wrong_scores`, `wrong_averages`: right and wrong ones; `measures`: the judges.
8. The known mistakes, with three hints each: `words_hand`, `words_gates`, `words_channel`, `words_places`,
   `words_blocks`, `words_inserted`, `words_maps`, `words_end_to_end`, `words_measures`, `words_overlap`; how to begin:
   `words_start`; errors that everyone meets: `words_errors`.
9. `exercises`: `check_answer`, for the exercises of the chapters.
"""
