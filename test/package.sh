#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The Debian packages, from a tarball of the last commit: they build without git and without the network,
# lintian finds nothing, and the symbols are those of lib/tierpool.map.
#
# usage: test/package.sh build      that, without the tests of the package
#        test/package.sh install    that with the tests and the source package; then in a new Debian 12
#                                   (debootstrap, as root): the packages are installed, programs are built against
#                                   them by plain flags, pkg-config and CMake, and run; after dpkg --purge no file
#                                   is left
#
# MIRROR: where debootstrap finds Debian. Exits 77 if nothing can be built here.
set -euo pipefail

how=${1:-build}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
for tool in dpkg-buildpackage dh lintian git; do
	if ! command -v "$tool" >/dev/null; then
		echo "skip  Debian packages: $tool is not installed"
		exit 77
	fi
done

temporary=$(mktemp -d "${TMPDIR:-/tmp}/tierpool-package.XXXXXX")
# debootstrap mounts what it needs, and takes it off again: what is left then is not removed.
trap 'rm -rf --one-file-system "$temporary"' EXIT
. test/support/checks.sh

if ! git rev-parse HEAD >/dev/null 2>&1; then
	echo "skip  Debian packages: this is no repository of git"
	exit 77
fi

version=$(sed -n 's/.*TIERPOOL_VERSION "\(.*\)"/\1/p' include/tierpool/version.h)
source=$temporary/tierpool-$version
root=$temporary/root

# Twice, to compare.
tarball() {
	local to=$temporary/first.tar.gz
	make -s dist && mv "build/tierpool-$version.tar.gz" "$to" && make -s dist &&
		cmp "$to" "build/tierpool-$version.tar.gz" && tar -C "$temporary" -xzf "$to"
}

# Away from the repository, with no proxy and no package lists: what is built needs neither.
package() { # OPTION...
	(cd "$source" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS dpkg-buildpackage -us -uc "$@")
}

changelog_agrees() {
	[[ $(dpkg-parsechangelog -l debian/changelog -S Version) == "$version" ]]
}

# That the packages are not uploaded to Debian is why their changelog closes no bug there.
lintian_is_content() {
	lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs \
		"$temporary"/tierpool_*.changes
}

symbols_are_those_of_the_map() {
	dpkg-deb --ctrl-tarfile "$temporary"/libtierpool0_*.deb | tar -xO ./symbols |
		sed -n 's/^ \(tierpool_[^@]*\)@TIERPOOL_.*/\1/p' | sort >"$temporary/symbols"
	sed -n 's/^\t\(tierpool_.*\);/\1/p' lib/tierpool.map | sort | diff - "$temporary/symbols"
}

is_hardened() {
	dpkg-deb --fsys-tarfile "$temporary"/libtierpool0_*.deb |
		tar -xO --wildcards "./usr/lib/*/libtierpool.so.$version" >"$temporary/library" &&
		readelf -d "$temporary/library" | grep BIND_NOW &&
		readelf -W -l "$temporary/library" | grep GNU_RELRO
}

inside() {
	timeout 300 chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

# Each file and folder, but for what dpkg and ldconfig keep for themselves, and what the programs were built in.
files() {
	(cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o \
		-path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache/ldconfig \) -prune -o -print | sort)
}

program_works() { # COMMAND: builds /tmp/project/program
	inside sh -euc "cd /tmp/project; $1; ldd program | grep -q libtierpool.so.0; ./program" &&
		rm "$root/tmp/project/program"
}

nothing_is_left() {
	files >"$temporary/after" && diff "$temporary/before" "$temporary/after" &&
		! inside dpkg-query -W -f '${db:Status-Status}\n' libtierpool0 libtierpool-dev 2>&1 | grep -v '^dpkg-query' &&
		! inside ldconfig -p | grep tierpool
}

in_a_new_root() {
	local name
	check "debootstrap" debootstrap --variant=minbase --include=gcc,libc6-dev,pkgconf,cmake,make \
		bookworm "$root" "$MIRROR"
	[[ $failed -eq 0 ]] || return 0
	files >"$temporary/before"
	mkdir "$root/tmp/project"
	sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$root/tmp/project/program.c"
	cat >"$root/tmp/project/CMakeLists.txt" <<-END
		cmake_minimum_required(VERSION 3.13)
		project(finds C)
		find_package(tierpool $version REQUIRED)
		add_executable(program program.c)
		target_link_libraries(program tierpool::tierpool)
	END
	cp "$temporary"/libtierpool*.deb "$root/tmp"
	check "dpkg -i" inside sh -c 'dpkg -i /tmp/libtierpool0_*.deb /tmp/libtierpool-dev_*.deb'
	check "a program by plain flags" program_works 'gcc program.c -ltierpool -o program'
	check "a program by pkg-config" \
		program_works 'gcc program.c $(pkg-config --cflags --libs tierpool) -o program'
	check "a program by CMake" \
		program_works 'cmake -S . -B built; cmake --build built; mv built/program .'
	for name in tierpool.7 tierpool_buf_printf.3; do
		check "the manual page $name" test -s "$root/usr/share/man/man${name##*.}/$name.gz"
	done
	check "dpkg --purge" inside dpkg --purge libtierpool-dev libtierpool0
	check "nothing is left" nothing_is_left
}

check "make dist, the same bytes twice" tarball
check "debian/changelog has the version" changelog_agrees
DEB_BUILD_OPTIONS=parallel=$(nproc)
DEB_BUILD_PROFILES=
if [[ $how == build ]]; then
	DEB_BUILD_OPTIONS+=' nocheck'
	DEB_BUILD_PROFILES=nocheck
fi
export DEB_BUILD_OPTIONS DEB_BUILD_PROFILES
if [[ $how == build ]]; then
	check "dpkg-buildpackage -b" package -b
else
	check "dpkg-buildpackage" package
fi
if [[ $failed -eq 0 ]]; then
	check "lintian" lintian_is_content
	check "the symbols are those of lib/tierpool.map" symbols_are_those_of_the_map
	check "the library is hardened" is_hardened
fi
if [[ $how == install && $failed -eq 0 ]]; then
	if [[ $(id -u) != 0 ]]; then
		skip "packages in a new Debian 12" "only root may chroot"
	elif ! command -v debootstrap >/dev/null; then
		skip "packages in a new Debian 12" "debootstrap is not installed"
	elif ! timeout 60 debootstrap --print-debs --variant=minbase bookworm "$temporary/try" "$MIRROR" \
		>"$temporary/log" 2>&1; then
		skip "packages in a new Debian 12" "debootstrap has nothing from $MIRROR"
	else
		in_a_new_root
	fi
fi
report
