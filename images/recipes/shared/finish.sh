# The second half of every recipe: the agent's user, git's name, and nothing left that gives rights.
set -eu
useradd --uid 1000 --user-group --create-home --home-dir /home/agent --shell /bin/bash agent
install -d -o agent -g agent -m 0755 /workspace
# A commit needs a name; without one the agent's first `git commit` fails.
git config --system user.name agent
git config --system user.email agent@moonpool.invalid
git config --system init.defaultBranch main
apt-get clean
# A set-up installs from the release alone.
rm -f /etc/apt/sources.list.d/backports.list /etc/apt/preferences.d/backports
find /var/lib/apt/lists /var/cache /var/log -type f -delete
# This script stands in /tmp, and goes with it.
rm -rf /usr/share/doc /usr/share/info /usr/share/lintian /usr/share/locale /usr/share/man \
    ~/.cache /tmp/* /tmp/.[!.]* /var/tmp
# One place for scratch files, as in every sandbox.
ln -s /tmp /var/tmp
# Nothing in here may give anyone more rights than they came with, and nobody gets a place to leave
# things for others but /tmp.
find / -xdev '(' -type f -o -type d ')' -perm /6000 -exec chmod a-s '{}' +
find / -xdev -type d -perm -0002 ! -path /tmp -exec chmod o-w,-t '{}' +
