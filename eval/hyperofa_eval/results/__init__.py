"""Result files, summaries and comparisons."""
