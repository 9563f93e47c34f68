"""The only room that touches Accelerate and DeepSpeed."""
