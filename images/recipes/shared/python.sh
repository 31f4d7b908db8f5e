# What an image of Python holds: its headers and those of the small libraries that its packages are most
# often linked with, C and C++ compilers, a current pytest and the tools that the policy `default` lists.
# It takes the place of install.sh.
set -eu
sh /tmp/shared/install.sh g++ gcc libc6-dev libffi-dev libssl-dev libyaml-dev make python3-dev python3-pip \
    python3-venv time
ln -s python3 /usr/bin/python
# The whole container is disposable: pip needs no guard against the system's package manager.
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
# Not Debian's: its pytest is years behind what projects ask for. What Debian has installed stays below.
PIP_CERT=/etc/ssl/certs/ca-certificates.crt pip3 install --quiet --no-cache-dir --ignore-installed \
    --disable-pip-version-check --root-user-action=ignore --require-hashes -r /tmp/shared/tools.txt
