"""Promotion: the model store and the rules by which a retrained model replaces the current one."""
