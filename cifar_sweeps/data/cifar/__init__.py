"""CIFAR-10 and CIFAR-100 as they are published: downloaded by torchvision, or read where they lie."""
