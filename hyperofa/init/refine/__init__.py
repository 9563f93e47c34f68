"""Refinement: new rows learn, through the frozen body, to give states that the source model gives; no other row moves."""
