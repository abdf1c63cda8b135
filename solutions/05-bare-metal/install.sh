#!/bin/bash
# Installs llama-server as a service. Run as root, in the folder of this script; running it again changes only what differs.
set -euo pipefail
cd "$(dirname "$0")"

release=llama-server-b11669
prefix=/opt/$release
changed=no

# put MODE SOURCE TARGET: copies a file, unless it is there already.
put() {
  cmp --silent "$2" "$3" && return
  install -D --owner=root --group=root --mode="$1" "$2" "$3"
  changed=yes
}

# The release, once its checksum is right. It is unpacked aside and moved, so that half a release is never in place.
if [ ! -d "$prefix" ]; then
  (cd /srv/release && sha256sum --check --quiet SHA256SUMS)
  rm -rf "$prefix.part"
  mkdir "$prefix.part"
  tar -xzf "/srv/release/$release.tar.gz" -C "$prefix.part" --strip-components=1 --no-same-owner
  mv "$prefix.part" "$prefix"
fi
if [ "$(readlink /opt/llama)" != "$release" ]; then
  ln -sfn "$release" /opt/llama
  changed=yes
fi

put 0644 /srv/release/tiny.gguf "$prefix/models/tiny.gguf"
put 0600 api-key /etc/llama-server/api-key
put 0644 llama-server.service /etc/systemd/system/llama-server.service

if [ "$changed" = yes ]; then
  systemctl daemon-reload
  systemctl enable --quiet llama-server.service
  systemctl restart llama-server.service
fi
systemctl is-active --quiet llama-server.service || systemctl start llama-server.service

# Done means: it answers.
for _ in $(seq 60); do
  curl --silent --fail --output /dev/null http://127.0.0.1:8080/health && exit 0
  sleep 0.5
done
echo "llama-server does not answer on port 8080" >&2
systemctl status --no-pager llama-server.service >&2
exit 1
