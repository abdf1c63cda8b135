"""Images, containers, Compose projects and booted systemd machines on a real Docker daemon.

What is made here carries a label of ours and is registered in `owned` first. What a check asks of them does not live here.
"""

from __future__ import annotations

from .build import Build, build
from .compose import Project
from .container import Container
from .daemon import client, docker
from .images import CATALOGUE, ensure
from .owning import Claim

__all__ = ["CATALOGUE", "Build", "Claim", "Container", "Project", "build", "client", "docker", "ensure"]
