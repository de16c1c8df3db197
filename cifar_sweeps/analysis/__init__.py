"""Analysis of one trained model: classification report, figures, and the model that MLflow serves."""
