"""Settings: one dataclass per command, from which come its flags, help, YAML section, Python keywords, checks and tables."""
