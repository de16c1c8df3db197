"""One trained model looked at: its figures on a set of images, its pictures, and the copy of it that MLflow serves."""
