"""Networks with a pretrained, frozen backbone and a trainable head, and the files of their weights."""
