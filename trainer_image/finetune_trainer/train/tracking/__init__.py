"""The training's curves: TensorBoard files always, MLflow or Weights & Biases where the manifest names one."""
