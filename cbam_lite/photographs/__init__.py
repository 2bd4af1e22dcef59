"""Photographs of your own, from the measurement to the report.

1. `intervals`: a number and how sure it is; `detecting`: defects against good images; `calibrating`: are
   probabilities true? `measuring`: all numbers of a classifier.
2. `maps`: where did it look, laid over the photograph? `warning`: what to know first, in words; `markup`, `pages`: a
   page of one file; `report`: all of that.
3. `resuming`, `predicting`: a folder that nobody labelled; `tiling`: large photographs; `exporting`: ONNX.
"""
