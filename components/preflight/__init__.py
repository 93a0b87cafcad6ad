"""The pipeline's first task: what only a pod can know, before any accelerator is booked."""
