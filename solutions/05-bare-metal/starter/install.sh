#!/bin/bash
# Production server setup
#
# The guide's script, but for what cannot be tried here: the machine has no network and no GPU, so the lines with
# apt-get, git clone and cmake are gone. The release that they would have built lies in /srv/release, the model beside
# it; and the unit is a file of its own instead of a heredoc in here.

# Unpack llama.cpp
tar -xzf /srv/release/llama-server-b11669.tar.gz

# Install as systemd service
cp llama-server.service /etc/systemd/system/llama-server.service

# Enable and start
systemctl daemon-reload
systemctl enable llama-server
systemctl start llama-server
