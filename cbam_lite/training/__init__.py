"""Images and training, as in the book's third part.

1. `images`: images with labels and masks; `splitting`: train and test, with nothing in both.
2. `materials`, `flaws`, `defects`: computed surfaces with defects whose every pixel is known.
3. `batches`, `settings`, `checkpoints`, `store`: one batch, what a training is of, a state on disk, what a training
   remembers. `loop`: what all trainings share. `train`: `fit`.
4. `defect_nets`: small networks, some of them trained (`shipped/`).
"""
