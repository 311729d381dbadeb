"""What a lecture on convolutional networks shows: kernels, filters, feature maps, and where a classifier looked."""
