"""The stores: SQL for the truth, Redis for the drawing, and their twins in memory."""
