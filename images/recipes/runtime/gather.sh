# Gathers Debian's programs below one directory, such that they run there whatever else an image holds.
#
# The kernel takes a program's loader by the path that stands in it, and the loader its libraries by
# the RPATH, before LD_LIBRARY_PATH: so both are set to our own. musl, another glibc, or nothing at all
# beside it makes no difference.
set -eu
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
packages="bash coreutils diffutils findutils git grep gzip mawk sed tar"
apt-get update -qq
# shellcheck disable=SC2086 - names of packages
apt-get install -qq -y --no-install-recommends $packages libgcc-s1 patchelf python3 python3-dev-
rt=/opt/moonpool/rt
mkdir -p $rt/bin $rt/lib $rt/libexec

elf() { [ "$(head -c 4 "$1" | tail -c 3)" = ELF ]; }

# Not git's relatives, which serve others, nor what only an administrator has a use for.
for file in $(dpkg -L $packages | grep -E '^(/usr)?/s?bin/' | grep -vE '/git-|/(chroot|scalar|clear_console|rmt-tar)$'); do
    if [ -f "$file" ] && [ ! -L "$file" ] && elf "$file"; then cp "$file" $rt/bin/; fi
done
ln -s bash $rt/bin/sh
ln -s mawk $rt/bin/awk

# Outside of bin: the guest's own, and not an answer to `python3`.
version=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
cp /usr/bin/$version $rt/libexec/python3
cp -r /usr/lib/$version $rt/lib/
cd $rt/lib/$version
rm -rf config-* distutils ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo unittest
cd lib-dynload
rm -f _bz2* _crypt* _curses* _dbm* _gdbm* _hashlib* _lzma* _sqlite3* _ssl* _test* _tkinter* nis* \
    readline* ossaudio* xxlimited*
# Compiled modules where the sources would be: half the size, and no file to look at twice.
$version -m compileall -b -q $rt/lib/$version
find $rt/lib/$version -name '*.py' -delete
find $rt/lib/$version -name __pycache__ -prune -exec rm -r '{}' +

for file in $rt/bin/* $rt/libexec/* $rt/lib/$version/lib-dynload/*.so; do
    ldd "$file" | sed -nE 's#.*=> (/[^ ]+) .*#\1#p'
done | sort -u | while read -r library; do cp -L "$library" $rt/lib/; done
cp -L /lib/*/libgcc_s.so.1 $rt/lib/
loader=$(patchelf --print-interpreter /bin/bash)
cp -L "$loader" $rt/ld.so
for file in $rt/bin/* $rt/libexec/*; do
    if [ ! -L "$file" ]; then
        patchelf --set-interpreter $rt/ld.so --force-rpath --set-rpath $rt/lib "$file"
    fi
done
for file in $rt/lib/*.so* $rt/lib/$version/lib-dynload/*.so; do
    case $file in
        # It needs none but the loader, which is there already.
        */libc.so.6) ;;
        *) patchelf --force-rpath --set-rpath $rt/lib "$file" ;;
    esac
done
# What an image puts there would be loaded into the guest. Names of the same length, which nothing has.
LC_ALL=C sed -i 's#/etc/ld[.]so[.]preload#/opt/moonpool/none#; s#/etc/ld[.]so[.]cache#/opt/moonpool/no#' \
    $rt/ld.so
if LC_ALL=C grep -qa '/etc/ld' $rt/ld.so; then echo "the loader still reads /etc" >&2; exit 1; fi
find $rt -type f -exec chmod 0644 '{}' +
chmod 0755 $rt/ld.so $rt/bin/* $rt/libexec/*
find $rt -type d -exec chmod 0755 '{}' +
# It runs, and with nothing but itself.
$rt/libexec/python3 -I -S -c 'import _thread, ctypes, ast, marshal, hashlib, select, socket'
for file in $rt/bin/* $rt/libexec/*; do
    if $rt/ld.so --list "$file" | grep -E '=> /' | grep -vF "=> $rt/"; then
        echo "$file takes libraries from elsewhere" >&2; exit 1
    fi
done
