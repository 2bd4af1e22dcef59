"""Where a network looked, as in the book's fourth part.

1. `methods`: from activation and gradient to a map. `gradcam`: get both from any network, `layers`: by name.
2. `localize`: is the map where the defect is? `scoring`: all of that in one table.
3. `faithfulness`: is the map what the network used?
"""
