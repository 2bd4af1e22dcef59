"""Attention in networks, as in the book's second part.

1. `insertion`: put attention into an existing network without changing what it computes; `channels`: of which width.
2. `recording`: see the gates of a network while it runs; `modes`: run it in evaluation mode.
3. `resnet`, `mobilenet`, `split_attention`: networks with attention inside; `pretrained`: torchvision's, with ours.
4. `cost`: parameters, multiply-adds and moved numbers of any network; `papers`: the printed tables to compare with.
5. `weights`: load and write the weights of other projects; `weight_names`, `weight_files`, `weight_checks`: its parts.
"""
