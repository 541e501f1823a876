"""What is written as trials end, for the tools people already have: TensorBoard, MLflow, Weights & Biases."""
