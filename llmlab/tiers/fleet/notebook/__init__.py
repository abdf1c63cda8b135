"""What a notebook holds of a plan and of its fleet. What they do is in the modules beside this package."""
