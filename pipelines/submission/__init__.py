"""Talks to a cluster's Kubeflow Pipelines: submits a run, follows it to its end, brings back what it made."""
