"""View models: what a page prints, already worded and rounded. Pure formatting, no decisions."""
