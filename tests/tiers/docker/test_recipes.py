"""What the images of the labs are made of: no daemon is asked."""

from __future__ import annotations

from llmlab.tiers.docker import images


def steps(recipe: str, base: str) -> list[str]:
    """The instructions of the stage on a base, as the builder compares them."""
    text = (images.RECIPES / recipe / "Dockerfile").read_text().replace("\\\n", "")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip() and line[:1] != "#"]
    start = next(n for n, line in enumerate(lines) if line.startswith(f"FROM {base} AS"))
    return lines[start + 1 :]


def test_debian_14s_server_is_fetched_and_installed_once_for_both_recipes():
    first = steps("llama-server", "debian:forky-slim")[0]
    assert "apt-get install" in first
    assert steps("systemd", "debian:forky-slim")[0] == first


def test_a_release_under_a_second_name_is_not_made_again(monkeypatch):
    """It is tagged, and nothing says that it is made."""
    monkeypatch.setattr(images, "_pull", lambda name: "no registry")
    monkeypatch.setattr(images, "_twin", lambda image: "debian:forky-slim")
    monkeypatch.setattr(images, "base_system", lambda suite: 1 / 0)
    said: list[str] = []
    how = images._bring(images.named("debian:forky-20260918-slim"), said.append)
    assert how == "built here (another name of debian:forky-slim)"
    assert said == []
