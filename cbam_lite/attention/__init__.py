"""Attention modules, in the order of the book's first part.

1. `convolution`: what a convolution computes, channel by channel, and what it costs.
2. `parts`: the pools, the gate and the small steps that every attention module is made of; `inputs`: what fits them.
3. `squeeze_excitation`, `eca`: one gate for each channel.
4. `channel_attention`, `spatial_attention`: the two gates of CBAM. `cbam`: one after the other.
"""
