"""The main job: plan a broadcast, send it at a safe pace, know what happened to every row."""
