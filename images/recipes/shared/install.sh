# The first half of every recipe: the named packages and those that all of them need.
#
# The guest takes python3, the tools that policies list take the rest. A recipe runs it, adds what is
# its own, and ends with finish.sh, all in one layer.
set -eu
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
apt-get update -qq
apt-get install -qq -y --no-install-recommends \
    bash bzip2 ca-certificates diffutils file findutils git jq less netbase patch procps python3 ripgrep \
    tree unzip xz-utils zip "$@"
update-ca-certificates >/dev/null
