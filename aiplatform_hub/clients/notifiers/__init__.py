"""Ways to reach people: entry points of the group ``aiplatform.notifiers``, ours and others'."""
