"""What a trained network looks at: activations, Grad-CAM, occlusion, integrated gradients, nearest neighbours."""
