"""What the tasks share: preparing requests, collecting replies, workflows, records."""
