#!/bin/sh
# Makes sure that zlib's headers are there: installs them where this user can, and says what to do where not.
set -eu

[ "$(uname -s)" = Linux ] || exit 0 # macOS has zlib in its SDK
for directory in /usr/include /usr/local/include; do
    [ ! -e "$directory/zlib.h" ] || exit 0
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing zlib1g-dev"
    apt-get update -qq || true # a list that is a little old will do
    exec apt-get install -y -qq zlib1g-dev
fi

cat >&2 <<'MESSAGE'
zlib's headers (zlib.h) are missing. Install them, then run make again:

    Debian, Ubuntu   sudo apt-get install zlib1g-dev
    Fedora, RHEL     sudo dnf install zlib-devel
    Alpine           sudo apk add zlib-dev
MESSAGE
exit 1
