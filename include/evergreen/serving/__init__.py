"""The gateway: answers predictions, follows promotions, logs every answer, outlives everything else."""
