"""llmcore inside other frameworks. Each module is imported by who uses that framework, and by nobody else."""
