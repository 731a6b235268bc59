#!/bin/bash
# SPDX-License-Identifier: MIT
# The library under real kernels: aarch64, many CPUs, CPUs that come and go. QEMU boots kernels of Debian, on arm64 the
# oldest and the newest that its archive has, on x86-64 the newest, with test/vm/init as the first process. There the
# stress programs and their controls, and in one guest the unit tests, run in rseq mode, on restartable sequences of
# the kernel in the guest.
#
# usage: test/vm.sh      from the top of the source, on Debian. Half an hour on two CPUs; 3 GiB of memory
#
# What it downloads and builds stays in build/vm, with what each guest said. The last line is "N passed, N failed".
# Memory order is not tested: a host that orders more than aarch64 does hides what is missing (lib/DESIGN.md).
set -u
vm=$PWD/build/vm
mkdir -p "$vm"
temporary=$(mktemp -d) || exit 1
trap 'rm -rf "$temporary"' EXIT
# shellcheck source=test/support/checks.sh
. test/support/checks.sh
. /etc/os-release
if ! command -v apt-get >/dev/null || [[ $ID != debian ]]; then
	echo 'skipped: kernels come from the archive of Debian, through its own apt'
	exit 77
fi
.ci/deps vm || exit

# ---- what comes from Debian: of another architecture too, apart from what is installed here ----

packages() { # packages ARCH COMMAND...: apt-get or apt-cache
	local arch=$1 command=$2
	shift 2
	"$command" -c "$vm/$arch/apt.conf" -qq "$@"
}

packages_init() { # packages_init ARCH
	local here=$vm/$1 suite
	mkdir -p "$here/lists/partial" "$here/cache/archives/partial" "$here/root" && : >"$here/status" || return
	cat >"$here/apt.conf" <<-END
		APT { Architecture "$1"; Architectures { "$1"; }; Default-Release "$VERSION_CODENAME"; Sandbox::User "root"; };
		Dir { State "$here"; State::Lists "$here/lists"; State::status "$here/status"; Cache "$here/cache"; };
		Dir::Etc { SourceList "$here/sources"; SourceParts "/dev/null"; };
		Acquire::Languages "none";
	END
	for suite in bullseye bookworm bookworm-backports trixie trixie-backports sid; do
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
	done >"$here/sources"
	packages "$1" apt-get update
}

# The kernel of a version becomes NAME/vmlinuz. Newer ones are in a package linux-binary.
kernel() { # kernel ARCH NAME VERSION
	local here=$vm/$1/$2 image
	mkdir -p "$here" && (
		cd "$here" || exit
		# shellcheck disable=SC2046
		packages "$1" apt-get download $(packages "$1" apt-cache pkgnames linux- |
			grep -E "^linux-(image|binary)-[0-9].*-cloud-$1\$" | xargs apt-cache -c "$vm/$1/apt.conf" madison |
			awk -v version="$3" '$3 == version { print $1 "=" version }')
		for image in *.deb; do dpkg -x "$image" .; done
	)
	image=$(find "$here"/*/ -name 'vmlinuz*') && [[ -n $image ]] && cp "$image" "$here/vmlinuz"
}

fetch() { # fetch ARCH PACKAGE...: and what they need
	local arch=$1 versions package
	shift
	[[ -e $vm/$arch/fetched ]] && return
	packages_init "$arch"
	versions=$(packages "$arch" apt-cache madison "linux-image-cloud-$arch" | awk '{ print $3 }' | sort -V)
	kernel "$arch" oldest "$(head -n 1 <<<"$versions")" && kernel "$arch" newest "$(tail -n 1 <<<"$versions")" &&
		packages "$arch" apt-get install -y --download-only --no-install-recommends "$@" || return
	for package in "$vm/$arch"/cache/archives/*.deb; do
		dpkg -x "$package" "$vm/$arch/root" || return
	done
	: >"$vm/$arch/fetched"
}

# ---- what runs in a guest ----

build() { # build ARCH COMPILER
	local programs=(test/stress/*.c test/percpu/rseq_paths.c)
	programs=("${programs[@]/#/build/vm/$1/plain/}")
	make -s "-j$(nproc)" VARIANT="vm/$1/plain" CC="$2" LDFLAGS=-static "${programs[@]%.c}" &&
		mkdir -p "$vm/$1/controls" && CC="$2 -static" test/controls.sh build "$vm/$1/controls"
}

# Those of the benchmarks need programs that are not there.
build_unit() { # build_unit ARCH COMPILER
	# A variable of make.
	# shellcheck disable=SC2016
	make -s "-j$(nproc)" VARIANT="vm/$1/unit" CC="$2 --sysroot=$vm/$1/root" ALSO_BUILT= \
		WITHOUT='$(wildcard test/benchmarks/*.c)' test-build
}

# The initial file system: what was built, at the paths where it was built, behind /tree.
image() { # image ARCH
	local root=$vm/$1/root guest=$vm/$1/guest
	rm -rf "$guest" && mkdir -p "$guest"/{bin,etc,proc,sys,dev,tmp,tree,lib} || return
	cp test/vm/init "$root"/bin/{busybox,bash-static} "$guest/bin" && ln -s bin/init "$guest/init" &&
		ln -s bash-static "$guest/bin/bash" && echo root:x:0:0:root:/:/bin/sh >"$guest/etc/passwd" &&
		find "build/vm/$1"/{plain,controls,unit}/ test/{run,controls,support/checks}.sh lib/base/inject.h \
			'(' -type f -perm -u+x -o -name '*.so*' -o -name inject.h -o -name checks.sh ')' -print0 2>/dev/null |
		xargs -0 cp --parents -t "$guest/tree" || return
	if [[ -d $vm/$1/unit ]]; then
		# What the unit tests are linked with, and run. Symbols stay: tests read them. Plugins have their paths
		# on this machine.
		cp -a "$root"/lib/* "$root"/usr/lib/*-linux-gnu "$guest/lib" && cp "$root/usr/bin/jq" "$guest/bin" &&
			echo "$PWD" >"$guest/etc/tree" || return
	fi
	find "$guest/lib" -name '*.a' -delete
	find "$guest/tree/build" -type f -perm -u+x -exec "${2/gcc/strip}" -g {} + 2>/dev/null
	(cd "$guest" && find . | cpio -o -H newc | gzip -1) >"$vm/$1/guest.gz"
}

# ---- the guests ----

# ARCH KERNEL CPUS  SIGNAL  WHAT  [ARGUMENT OF THE KERNEL]
# SIGNAL: microseconds between two signals for each thread of a stress program. WHAT: see test/vm/init.
guests='
arm64 oldest 2    5000 paths,stress,controls
arm64 newest 2    5000 paths,stress,controls,unit
arm64 newest 4    5000 cpus,paths,stress,controls maxcpus=2
amd64 newest 16   5000 cpus,paths,stress,controls maxcpus=8
amd64 newest 64  12800 paths,stress_pool
'

log_of() { # log_of ARCH KERNEL CPUS
	echo "$vm/$1-$2-$3.log"
}

guest() { # guest ARCH KERNEL CPUS SIGNAL WHAT [ARGUMENT]
	local emulator=(qemu-system-aarch64 -M 'virt,gic-version=3' -cpu 'max,pauth-impdef=on' -accel 'tcg,thread=multi')
	local log console=ttyAMA0 start=$SECONDS
	log=$(log_of "$@")
	if [[ $1 = amd64 ]]; then
		# One thread: of one for each CPU, most would wait for a lock whose owner does not run.
		emulator=(qemu-system-x86_64 -M q35 -cpu max -accel 'tcg,thread=single')
		# The kernel would test its timer, and panic where this machine is too busy to tick meanwhile.
		console='ttyS0 no_timer_check'
	fi
	timeout -k 1 2700 "${emulator[@]}" -smp "$3" -m 3G -display none -nodefaults -no-reboot \
		-serial "file:$log" -kernel "$vm/$1/$2/vmlinuz" -initrd "$vm/$1/guest.gz" \
		-append "console=$console quiet panic=-1 STRESS_SIGNAL_US=$4 DO=$5 ${6:-}" </dev/null
	sed -i 's/\r//g' "$log"
	echo "$((SECONDS - start)) s" >>"$log"
}

# One after the other.
guests_of() { # guests_of ARCH
	local line
	while read -r -a line; do
		[[ ${line[0]:-} != "$1" ]] || guest "${line[@]}"
	done <<<"$guests"
}

lane_arm64() {
	fetch arm64 busybox-static bash-static libcriterion-dev zlib1g-dev jq && build arm64 aarch64-linux-gnu-gcc &&
		build_unit arm64 aarch64-linux-gnu-gcc && image arm64 aarch64-linux-gnu-gcc && guests_of arm64
}

lane_amd64() {
	fetch amd64 busybox-static bash-static && build amd64 gcc && image amd64 gcc && guests_of amd64
}

# ---- what they said ----

guest_passed() { # guest_passed LOG
	grep -E '^FAIL' "$1"
	grep -q '^guest ended: [1-9][0-9]* passed, 0 failed$' "$1"
}

guest_summary() { # guest_summary LOG
	sed -n 's/^guest: //p' "$1"
	awk '/^ +[0-9]+ aborts$/ { n += $1 } END { print n + 0 " aborts" }' "$1"
	echo "$(grep -c '^ok .* is found by ' "$1") controls found, $(grep -c '^FAILED: .* passes with ' "$1") not"
	tail -n 1 "$1"
}

control_found() { # control_found FAULT PROGRAM
	grep -h "^ok  $1 is found by $2 " "$vm"/*-*-*.log
}

lane_ended() { # lane_ended ARCH PROCESS
	wait "$2" || {
		tail -n 20 "$vm/$1.log"
		return 1
	}
}

rm -f "$vm"/*-*-*.log
lane_arm64 >"$vm/arm64.log" 2>&1 &
arm64=$!
lane_amd64 >"$vm/amd64.log" 2>&1 &
amd64=$!
check 'arm64: kernels and programs were had' lane_ended arm64 $arm64
check 'amd64: kernels and programs were had' lane_ended amd64 $amd64
skip 'unit tests of the benchmarks' 'their programs are not in the guests'
skip 'memory order' 'this machine keeps more of it than aarch64 does: see lib/DESIGN.md'
while read -r -a line; do
	[[ -n ${line[*]} ]] || continue
	log=$(log_of "${line[@]}")
	check "${line[*]}" guest_passed "$log"
	guest_summary "$log" | sed 's/^/      /'
done <<<"$guests"
while read -r _ program _ fault; do
	# Found in one of ten minutes in guests; on this machine controls.sh finds it within seconds.
	if [[ $fault = STALE_GAP ]] && ! control_found "$fault" "$program"; then
		skip "$fault is found by $program in a guest" 'an emulated machine starts too few profiles'
		continue
	fi
	[[ $fault = NONE ]] || check "$fault is found by $program in a guest" control_found "$fault" "$program"
done < <(grep -h '^ok  stress_.* with ' "$vm/arm64.log")
echo "$((SECONDS / 60)) minutes, load $(cut -d ' ' -f 1-3 /proc/loadavg)"
report
