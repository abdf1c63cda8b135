"""An ECS task on Fargate: its definition read, refused for what Fargate refuses, and run as Fargate would run it.

The account is a local stand-in (`tiers/aws`); the containers are Docker's own. Services, load balancers and scaling are not here.
"""
