"""From a trained model and images to segmentations. Knows networks and data, but no training method."""
