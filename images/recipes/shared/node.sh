# Node.js and npm as their makers publish them, for what Debian's release holds is not kept up any
# more. They come by Debian's npm, which goes again; on other processors it stays.
#
# With the headers, where node-gyp keeps those that it fetched, so that native addons compile without a
# network. It comes between install.sh and finish.sh, which makes the agent's home.
set -eu
node=24.22.3 npm=11.21.2
case $(dpkg --print-architecture) in
    amd64) arch=x64 openssl=linux-x86_64 sum=6d747cda21df616c78e9ed4f8a816cbacd25f24c1abb4d9aa26773d000e24bd9 ;;
    arm64) arch=arm64 openssl=linux-aarch64 sum=ecdab33ad827e0bf4a856981f274ea7f2acdb942f9c517efb34edd9171c84d0d ;;
    *) exit 0 ;;
esac
cd /tmp
export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
npm pack --silent "node-linux-$arch@$node" "npm@$npm" >/dev/null
sha256sum --check --quiet <<SUMS
$sum  node-linux-$arch-$node.tgz
8ad8563b81e71b90ef405b140bccf3ba9b5e7884ab210bd49ee4e2f4bc6f61f5  npm-$npm.tgz
SUMS
apt-get purge -qq -y --autoremove nodejs npm
tar -xzf "node-linux-$arch-$node.tgz" -C /usr/local --strip-components=1 --no-same-owner \
    package/bin package/include
find /usr/local/include/node/openssl/archs -mindepth 1 -maxdepth 1 ! -name "$openssl" -exec rm -r {} +
# npm's own dependencies are bundled, so that nothing else comes.
tar -xzf "npm-$npm.tgz"
/usr/local/bin/node package/bin/npm-cli.js install --silent --global --prefix /usr/local --offline "./npm-$npm.tgz"
kept=/etc/skel/.cache/node-gyp/$node
mkdir -p "$kept"
ln -s /usr/local/include "$kept/include"
echo 11 >"$kept/installVersion"
