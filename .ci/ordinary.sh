# What .ci/bare and .ci/binder have in common: a copy of the checkout that an ordinary user owns, a Python of theirs, the machine's
# settings for packages. Sourced, with `user` set; sets `place` (removed at the end), `python` and `settings`.

as_user() { setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"; }

# A short name: sockets lie below it, and their paths end at 108 characters.
place=$(mktemp -d -t llmlab-as.XXXXXX)
trap 'rm -rf "$place" || true' EXIT
mkdir "$place/home" "$place/tmp"
git clone -q --no-hardlinks . "$place/course"
git diff --binary HEAD | git -C "$place/course" apply --allow-empty
git ls-files -z --others --exclude-standard | tar --null -T - -c | tar -x -C "$place/course"

# A Python that this user may run and that can make environments; else a copy of the one in use (it may lie in root's home).
usable='import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'
python=$(command -v python3)
if ! (cd / && as_user "$python" -c "$usable") >/dev/null 2>&1; then
    python=/usr/bin/python3
    if ! (cd / && as_user "$python" -c "$usable") >/dev/null 2>&1; then
        cp -a "$(python3 -c 'import sys; print(sys.base_prefix)')" "$place/python"
        rm -rf "$place"/python/lib/python3.*/site-packages/*
        python=$place/python/bin/python3
    fi
fi

# How packages are found here is the machine's, not root's: its index, proxy and certificates go along.
settings=("HOME=$place/home" "TMPDIR=$place/tmp" "PATH=$place/venv/bin:/usr/local/bin:/usr/bin:/bin" "LANG=${LANG:-C.UTF-8}")
while IFS= read -r name; do settings+=("$name=${!name}"); done < <(compgen -e | grep -E '^(PIP|UV|SSL|REQUESTS|CURL)_|^(.*_)?proxy$|^(.*_)?PROXY$' | grep -vE '^UV_(CACHE_DIR|PROJECT_ENVIRONMENT|PYTHON.*|TOOL.*)$|^UV$|^PIP_(CACHE_DIR|ROOT_USER_ACTION)$')
for name in pip/pip.conf uv/uv.toml; do
    [[ ! -f ~/.config/$name ]] || install -D -m 644 ~/.config/"$name" "$place/home/.config/$name"
done
chown -R "$user:$user" "$place"
cd "$place/course"
as_user env -i "${settings[@]}" "$python" -m venv "$place/venv"
