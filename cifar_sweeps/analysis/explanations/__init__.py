"""Explanations of a network's decisions: feature maps, Grad-CAM, occlusion, integrated gradients, similar images."""
