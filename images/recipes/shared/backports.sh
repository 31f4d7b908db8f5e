# Newer versions of some packages, which Debian keeps for this release beside it; without them where
# the mirror has none. It comes before install.sh.
#
#     backports.sh PATTERN
set -eu
release=$(. /etc/os-release; echo "$VERSION_CODENAME")
# The base's own mirror, in either form of its list; what is for security is another one.
uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null \
    | sed -n "s/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(.*\] \)\{0,1\}\([^ ]*\) $release main.*/\2/p" | head -n 1)
echo "deb $uri $release-backports main" > /etc/apt/sources.list.d/backports.list
printf 'Package: %s\nPin: release n=%s-backports\nPin-Priority: 500\n' "$1" "$release" \
    > /etc/apt/preferences.d/backports
if ! apt-get update -qq -o APT::Update::Error-Mode=any; then
    echo "no $release-backports: $1 is what $release has"
    rm /etc/apt/sources.list.d/backports.list
fi
