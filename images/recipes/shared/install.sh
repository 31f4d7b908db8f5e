# The first half of every recipe: the named packages and those that all of them need.
#
# The guest takes python3, the tools that policies list take the rest. A recipe runs it, adds what is
# its own, and ends with finish.sh, all in one layer.
set -eu
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
# An image that is not whole is thrown away: nothing need reach the disk file by file.
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/unsafe-io
apt-get update -qq
apt-get install -qq -y --no-install-recommends \
    bash bzip2 ca-certificates diffutils file findutils git jq less netbase patch procps python3 ripgrep \
    tree unzip xz-utils zip "$@"
update-ca-certificates >/dev/null
