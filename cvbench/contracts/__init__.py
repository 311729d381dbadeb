"""What a model of each task must give: one file a task, named as it."""
