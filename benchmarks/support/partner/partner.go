// SPDX-License-Identifier: MIT

// Package partner is the Go side of support/partner.h: it has what programs need that measure on
// request.
package partner

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// WarmUp: a sixteenth of a batch goes before it, for caches and branches.
const WarmUp = 16

// Fail ends the program.
func Fail(err error) {
	fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
	os.Exit(2)
}

// CPUs gives those that the program is to run on, which are its arguments, and lets as many threads
// run.
func CPUs() []int {
	cpus := make([]int, len(os.Args)-1)
	for i, arg := range os.Args[1:] {
		cpu, err := strconv.Atoi(arg)
		if err != nil {
			Fail(err)
		}
		cpus[i] = cpu
	}
	runtime.GOMAXPROCS(len(cpus))
	return cpus
}

// Pin gives the goroutine a thread of its own, on this CPU.
func Pin(cpu int) {
	var set [128]byte
	runtime.LockOSThread()
	set[cpu/8] = 1 << (cpu % 8)
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(set),
		uintptr(unsafe.Pointer(&set)))
	if errno != 0 {
		Fail(errno)
	}
}

// Serve prints Go's version, and then answers each line that it reads, of numbers, with what run
// returns. It ends with the input.
func Serve(run func(request []uint64) float64) {
	fmt.Println(runtime.Version())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var request []uint64
		for _, word := range strings.Fields(in.Text()) {
			number, err := strconv.ParseUint(word, 10, 64)
			if err != nil {
				Fail(err)
			}
			request = append(request, number)
		}
		fmt.Println(run(request))
	}
}
